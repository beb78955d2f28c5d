"""Generated texts, whole and streamed, equal those of the library."""

import json

import pytest

from nlp_tasks import Generator

TEXTS = ["Ada the rower lives in Oslo", "Sven lives", "Noor the rower lives in Rome"]
SAMPLE = {"search": "sample", "n_best": 2, "temperature": 2.0, "seed": 3}


@pytest.mark.parametrize("decoding", [{}, {"n_best": 3, "beams": 3}, {"search": "greedy"}, SAMPLE])
def test_texts_are_those_of_the_generator(texts, text_runs, decoding):
    expected = Generator.load(text_runs / "short").candidates(TEXTS, **decoding)
    answer = texts.ok("/generate", texts=TEXTS, decoding=decoding)
    assert answer["run"] == "short"
    generated = [[(one["text"], one["finished"]) for one in some] for some in answer["results"]]
    assert generated == [[(one.text, one.finished) for one in some] for some in expected]
    assert answer["results"][0][0]["log_probability"] == pytest.approx(expected[0][0].log_probability, abs=1e-4)


@pytest.mark.parametrize("decoding", [{}, {"search": "sample", "temperature": 3.0, "seed": 5}])
def test_a_stream_is_the_text_in_lines(texts, text_runs, decoding):
    response = texts("POST", "/generate", json={"texts": TEXTS[:1], "stream": True, "decoding": decoding})
    assert (response.status_code, response.headers["content-type"]) == (200, "application/x-ndjson")
    *lines, last = [json.loads(line) for line in response.text.splitlines()]
    assert last == {"done": True}
    assert len(lines) > 1
    expected = Generator.load(text_runs / "short").predict(TEXTS[:1], **{"search": "greedy"} | decoding)
    assert "".join(line["text"] for line in lines) == expected[0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"texts": [" "]}, "texts[0] is empty"),
        ({"texts": ["\u200b"]}, "source 1 is empty"),
        ({"texts": ["\u200b"], "stream": True}, "source 1 is empty"),
        ({"texts": TEXTS, "stream": True}, "stream gives one text, but there are 3"),
        ({"texts": TEXTS[:1], "stream": True, "decoding": {"search": "beam"}}, "search 'beam' revises"),
        ({"texts": TEXTS[:1], "decoding": {"beams": 3, "n_best": 9}}, "n_best is 9, more than beams 3"),
        ({"texts": TEXTS[:1], "decoding": {"beams": 65}}, "decoding.beams: 65 is more than 64"),
        ({"texts": TEXTS[:1], "decoding": {"max_length": 100}}, "max_length is 100"),
        ({"texts": TEXTS[:1], "decoding": {"search": "sample", "top_p": 2.0}}, "top_p is 2.0"),
        ({"texts": TEXTS[:1], "decoding": {"beems": 2}}, "decoding.beems"),
        ({"texts": TEXTS[:1], "run": "topics"}, "those that do: short"),
    ],
)
def test_what_cannot_be_generated_is_refused(texts, body, message):
    assert message in texts.refused("/generate", **body)
