"""Reads a channel back with Slack's own client; prints its messages as JSON.

Fails when a block is not what the client's models know: an unknown type or member, a missing one, or
one that breaks a rule that they check.
"""

import json
import logging
import sys

from slack_sdk import WebClient
from slack_sdk.models.blocks import Block
from slack_sdk.models.metadata import Metadata


class Refuse(logging.Handler):
    """The models only warn of what they do not know."""

    def emit(self, record):
        sys.exit(f"slack_sdk warns: {record.getMessage()}")


def said(element):
    """The text that people see of a block or an element, in order."""
    if isinstance(element, list):
        return "".join(said(each) for each in element)
    parts = element.get("elements", [])
    text = element.get("text", "")
    return said(parts) + (text if isinstance(text, str) else said(text))


def main(address, token, channel):
    logging.getLogger().addHandler(Refuse(level=logging.WARNING))
    client = WebClient(token=token, base_url=address)
    ids = {one["name"]: one["id"] for one in client.conversations_list()["channels"]}
    history = client.conversations_history(channel=ids[channel], include_all_metadata=True)
    messages = []
    found = []
    for message in reversed(history["messages"]):
        thread = client.conversations_replies(
            channel=ids[channel], ts=message["ts"], include_all_metadata=True
        )
        found += thread["messages"]
    for message in found:
        blocks = [Block.parse(block) for block in message["blocks"]]
        known = [block.to_dict() for block in blocks]
        assert known == message["blocks"], f"read {known}\nof {message['blocks']}"
        metadata = Metadata(**message["metadata"]).to_dict()
        messages.append(
            {"text": message["text"], "said": [said(block) for block in known], "metadata": metadata}
        )
    print(json.dumps(messages))


main(*sys.argv[1:])
