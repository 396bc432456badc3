"""Templates of routes get nowhere: whatever they reach for fails as a template, and nothing of this process is in the reply."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stack_emu.client import EmulatorError

from .conftest import Shop

Make = Callable[..., Shop]
ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ [].__class__.__base__.__subclasses__() }}",
    "{{ ().__class__.__bases__[0].__subclasses__()[0] }}",
    "{{ request.__class__ }}",
    "{{ request['__class__'] }}",
    "{{ request|attr('__class__') }}",
    "{{ request|attr('__cl' ~ 'ass__') }}",
    "{{ request|map(attribute='__class__')|list }}",
    "{{ id.__globals__ }}",
    "{{ id.__func__ }}",
    "{{ id.__self__.act }}",
    "{{ counter.__self__ }}",
    "{{ at.func.__globals__ }}",
    "{{ at.__call__ }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ lipsum.__globals__ }}",
    "{{ config }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ 'x'.format.__globals__ }}",
    "{{ '{0.__class__}'.format(request) }}",
    "{{ '{0.__class__.__mro__}'.format(id) }}",
    "{{ ('%s' % id).__class__ }}",
    "{{ 'a'.__add__ }}",
    "{{ request.json.update({'a': 1}) }}",
    "{{ request.json.clear() }}",
    "{{ state.clear() }}",
    "{{ 'x' * 10**9 }}",
    "{{ 10 ** 10 ** 10 }}",
    "{{ range(10**9)|list }}",
    "{{ ['x'] * 10**8 }}",
    "{% import 'os' as os %}{{ os }}",
    "{% include '/etc/passwd' %}{{ 1 }}",
    "{% extends '/etc/passwd' %}{{ 1 }}",
    "{{ [1,2,3]|random }}",
    "{{ debug() }}",
    "{{ import('os') }}",
    "{{ open('/etc/passwd').read() }}",
    "{{ eval('1') }}",
    "{{ environment.globals }}",
    "{{ caller() }}",
    "{{ loop }}",
]


FORBIDDEN = ("<class", "<function", "<bound", "<module", "root:", " at 0x", "uid=")


@pytest.mark.parametrize("template", ESCAPES)
def test_a_template_that_reaches_out_gets_nothing(shop: Make, template: str) -> None:
    for reply in ({"text": f"{template} "}, {"json": {"x": template}}):
        try:
            made = shop([{"reply": reply}])
        except EmulatorError as error:  # what cannot even be read is a mistake of the scenario
            said = str(error)
            assert "cannot be read" in said
        else:
            answered = made.ask("POST", "/orders", {"a": 1})
            assert answered.status in (200, 500)
            said = str(answered.body)
        assert [word for word in FORBIDDEN if word in said] == []
        assert len(said) < 2000
