"""Webhook: each delivery's records as one signed POST to a receiver that the operator names.

    settings   the keys of `[sinks.NAME]` with `kind = "webhook"`
    sink       `WebhookSink`: one POST a batch, one answer for all of its records
    envelope   what is sent: the body, the Standard Webhooks signature, the CloudEvents headers
    network    how the receiver is reached: only addresses that may be dialled, TLS, no second look at the name
    addresses  which addresses are public
    answers    what an HTTP answer means: the status table, `Retry-After`, where a redirect leads
    failures   what it means when there is no answer
    excerpt    the few words of a refusal that may be kept: no person, no secret, no control character

The receiver is not trusted: nothing it says makes us dial another address, wait without end, keep more than 4 KiB of
it, or write a person into a log.
"""

from stibgate.sinks.webhook.settings import WebhookSettings
from stibgate.sinks.webhook.sink import WebhookSink

__all__ = ["WebhookSettings", "WebhookSink"]
