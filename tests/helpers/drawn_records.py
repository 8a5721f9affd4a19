"""Records and summaries to draw, and what a page is made of."""

from html.parser import HTMLParser

ARMS = ("source", "target", "latent", "latent_shuffled", "latent_constant")
CELLS = ("plain/short", "lore/short/seen", "lore/long/seen", "lore/long/held_out")


def record(i, payload="#### 1"):
    arms = {
        arm: {
            "text": payload,
            "extracted": "1",
            "correct": (i + j) % 3 == 0,
            "saw": payload,
            "prompt_tokens": 9,
            "soft_tokens": 8,
        }
        for j, arm in enumerate(ARMS)
    }
    return {"id": f"q{i}", "question": payload, "gold": "1", "cell": CELLS[i % 4], "word": "", "arms": arms}


class Tags(HTMLParser):
    """The tags, attributes and texts of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), ""

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_data(self, data):
        self.text += data
