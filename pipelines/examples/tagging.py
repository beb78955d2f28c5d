"""Named entities: texts and their entities in characters go in, entities of new texts come out."""

from nlp_tasks.tagging.entities import Entity
from nlp_tasks.tagging.tagger import Tagger

PEOPLE = ["Ada Abel", "Emil Horn", "Noor Lund", "Otto Ito", "Pia Novak", "Sven Costa"]
CITIES = ["Oslo", "Rome", "Lima", "Kyoto"]
PAIRS = [(person, city) for person in PEOPLE for city in CITIES]
TEXTS = [f"{person} lives in {city}" for person, city in PAIRS] + [
    f"in {city} we met {person}" for person, city in PAIRS
]


def annotate(text: str, person: str, city: str) -> list[tuple[int, int, str]]:
    """First character, one past the last, and type of each entity."""
    spans = ((person, "PER"), (city, "LOC"))
    return [(text.index(name), text.index(name) + len(name), kind) for name, kind in spans]


def main() -> list[list[Entity]]:
    """Train on 48 short texts; returns the entities of two new ones."""
    entities = [annotate(text, *pair) for text, pair in zip(TEXTS, PAIRS * 2, strict=True)]
    train = {"epochs": 12, "batch_size": 8, "lr": 1e-2}
    tagger = Tagger.train(TEXTS, entities, encoder={"dim": 16, "n_layers": 1}, train=train)
    predicted = tagger.predict(["Ada Horn lives in Lima", "we met Pia Ito in Oslo"])
    for entities_of_text in predicted:
        print([(entity.text, entity.type, round(entity.score, 2)) for entity in entities_of_text])
    return predicted


if __name__ == "__main__":
    main()
