"""Use cases of the selector."""

from svc_selector.app.ports import SelectorUseCases
from svc_selector.app.recorder import Recorder
from svc_selector.app.select import Selector, SelectorOptions

__all__ = ["Recorder", "Selector", "SelectorOptions", "SelectorUseCases"]
