"""What the gateway has to know of each API it meters: the cost a request may have, and what an answer delivered."""
