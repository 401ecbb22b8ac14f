"""The part of the scoring service that sends webhooks."""

from datetime import timedelta

from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from tierwise.security.personal import Vault
from tierwise.settings import Settings
from tierwise_scoring.webhooks.courier import Post
from tierwise_scoring.webhooks.dispatcher import Dispatcher
from tierwise_scoring.webhooks.metrics import WebhookMetrics
from tierwise_scoring.webhooks.sender import Sender


async def send_webhooks(engine: AsyncEngine, vault: Vault, settings: Settings, registry: CollectorRegistry) -> None:
    """Until cancelled."""
    async with Sender(settings.webhook_allowed_networks) as sender:
        post = Post(engine, vault, sender, WebhookMetrics(registry))
        await Dispatcher(post, engine=engine, keep=timedelta(days=settings.webhook_log_days)).run()
