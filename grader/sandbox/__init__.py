"""All that touches student code: isolation, the worker inside, and the conversation with it."""
