// Settings of htmx, a part of django-unfold, for the Content-Security-Policy: no inline styles, no eval.
htmx.config.includeIndicatorStyles = false;
htmx.config.allowEval = false;
