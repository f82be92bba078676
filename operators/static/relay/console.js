// htmx, which django-unfold brings along, as the Content-Security-Policy wants it: no style in a page, no eval.
htmx.config.includeIndicatorStyles = false;
htmx.config.allowEval = false;
