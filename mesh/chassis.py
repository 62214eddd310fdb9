"""What every context stands on, opened in order and closed in reverse."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING, TypeVar

from pydantic import Field

from mesh import logging, telemetry
from mesh.background import BackgroundTasks
from mesh.clock import SystemClock
from mesh.contexts import GATEWAY
from mesh.dependencies import Dependencies, Dependency, of_background
from mesh.events.audit import Auditor
from mesh.events.audit_queue import AuditQueue
from mesh.events.dead_letters import DeadLetterPublisher
from mesh.events.event import Codec
from mesh.events.inbox import BATCH, Consumer
from mesh.events.outbox import Outbox
from mesh.events.refusal_auditor import RefusalAuditor
from mesh.events.relay import Relay
from mesh.events.streams import PostgresCursors, ValkeyStreams
from mesh.events.topics import AUDIT, DEAD_LETTERS
from mesh.events.unknown_key_auditor import UnknownKeyAuditor
from mesh.identity import SERVICE_ROLE, SYSTEM_TENANT, Claims, TokenMinter, TokenVerifier, jwks_source
from mesh.identity.signed_statements import KeyIdsFile, RevocationsFile
from mesh.ids import SystemIds
from mesh.lifecycle import Service, background
from mesh.policy import Policy, RegoAuthorizer
from mesh.processes import CpuUsage, ProcessLimits, ProcessPool
from mesh.rpc.api_keys import ExistingKeys
from mesh.rpc.client import connect
from mesh.rpc.heartbeats import Heartbeats
from mesh.rpc.interceptor_chain import standard_chain
from mesh.rpc.interceptor_order import insert_interceptors
from mesh.rpc.key_streams import KeyStreams
from mesh.rpc.revoked_keys import RevokedKeys
from mesh.rpc.server import serving
from mesh.secrets import Vault, VaultSecrets, VaultTransit
from mesh.settings import (
    Block,
    BusSettings,
    IdentitySettings,
    PeerAddresses,
    PolicySettings,
    PostgresSettings,
    ServerSettings,
    SettingsError,
    TelemetrySettings,
    TlsSettings,
    ValkeySettings,
    VaultSettings,
)
from mesh.stores import valkey
from mesh.stores.postgres import Postgres
from mesh.stores.retention import Retention, RetentionPeriods

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    import grpc.aio

    from mesh.contexts import ContextDeclaration
    from mesh.events.bus import Bus
    from mesh.events.dead_letters import StoreDeadLetter
    from mesh.events.inbox import Handlers
    from mesh.rpc.interceptor import Interceptor
    from mesh.rpc.registrar import Registration
    from mesh.stores.retention import MaintenanceTask, RetentionRule

T = TypeVar("T")
SIGNING_KEY = "soma-identity"
"""Transit key that signs tokens and API keys."""
REVOCATIONS_WAIT_S = 3.0
"""How long a start waits for the existing and the revoked keys; after that it serves without, and refuses API keys."""


class StatelessSettings(Block):
    """The settings of a context that keeps nothing: it opens no database and no bus, sends no event, audits nothing."""

    server: ServerSettings = ServerSettings()
    tls: TlsSettings = TlsSettings()
    vault: VaultSettings
    telemetry: TelemetrySettings = TelemetrySettings()
    policy: PolicySettings = PolicySettings()
    identity: IdentitySettings = IdentitySettings()
    peers: PeerAddresses = Field(default_factory=dict)


class ChassisSettings(StatelessSettings):
    """The settings of a context that keeps state."""

    postgres: PostgresSettings
    valkey: ValkeySettings
    bus: BusSettings = BusSettings()


class Chassis:
    """The opened parts. What is entered through it later is left earlier: the server first, the pools last."""

    def __init__(self, context: ContextDeclaration, settings: StatelessSettings, stack: AsyncExitStack) -> None:
        self.context = context
        self.name = context.name
        self.settings = settings
        self.clock = SystemClock()
        self.ids = SystemIds()
        self.cpu_usage = CpuUsage.of_process(self.clock)
        self.heartbeats = Heartbeats(settings.server.heartbeat_s)
        self.outbox = Outbox({*context.publishes, AUDIT, DEAD_LETTERS})
        self.codec = Codec()
        self.service_config = resources.files("protos").joinpath("service_config.json").read_text()
        self._stack = stack
        self._peers: dict[str, grpc.aio.Channel] = {}
        self._dependencies: list[Dependency] = []
        self._background = BackgroundTasks()
        self._follows_keys = False
        self._postgres: Postgres | None = None
        self._bus: Bus | None = None
        self.revoked: RevokedKeys
        self.existing: ExistingKeys
        self.auditor: Auditor
        self.policy: Policy
        self.secrets: VaultSecrets
        self.transit: VaultTransit
        self.minter: TokenMinter
        self.verifier: TokenVerifier

    @property
    def postgres(self) -> Postgres:
        """The database; LookupError in a context that keeps nothing."""
        return self._opened(self._postgres, "database")

    @property
    def bus(self) -> Bus:
        """The event bus; LookupError in a context that keeps nothing."""
        return self._opened(self._bus, "event bus")

    def _opened(self, part: T | None, name: str) -> T:
        if part is None:
            raise LookupError(f"the context {self.name} has no {name}: its settings are StatelessSettings")
        return part

    async def start(self) -> None:
        """Opens the parts that its settings are for."""
        settings, identity = self.settings, self.settings.identity
        self._background.enter()
        logging.configure(settings.telemetry)
        logging.enter(self.name, self.context.version)
        await self.enter(telemetry.configure(self.name, settings.telemetry))
        self.policy = await self.enter(Policy.load(settings.policy, self.clock))
        self.auditor = Auditor(
            self.name, self.outbox, clock=self.clock, ids=self.ids, policy_id=lambda: self.policy.policy_id
        )
        vault = await self.enter(Vault.open(settings.vault))
        self.secrets = VaultSecrets(vault, settings.vault.kv_mount, self.clock)
        self.transit = VaultTransit(vault, settings.vault.transit_mount)
        self.minter = TokenMinter(
            self.transit,
            SIGNING_KEY,
            issuer=identity.issuer,
            audience=identity.audience,
            clock=self.clock,
            ids=self.ids,
        )
        if self.context.stateless == isinstance(settings, ChassisSettings):
            raise TypeError(f"the context {self.name} declares stateless={self.context.stateless}, unlike its settings")
        if isinstance(settings, ChassisSettings):
            self._postgres = await self.enter(Postgres.open(settings.postgres, self.clock))
        await self._restore_keys(identity)
        if isinstance(settings, ChassisSettings):
            await self._send_events(settings)

    async def _send_events(self, settings: ChassisSettings) -> None:
        """Opens the bus, and sends what the outbox holds."""
        self._bus = await self._open_bus(settings)
        lag = telemetry.gauge("outbox_lag_seconds", "Age of the oldest event that is not sent.", ("context",))
        relay = Relay(self.postgres, self.bus, self.codec, self.clock, on_lag=lag.labels(self.name).set)
        await self.enter(relay)
        self.depends_on(Dependency("outbox", lambda: _waiting(relay, settings.bus.max_lag_s)))

    async def _restore_keys(self, identity: IdentitySettings) -> None:
        """What verifies credentials, with what an earlier process left of the existing and the revoked keys."""
        jwks = await self.enter(jwks_source(identity, self.transit, SIGNING_KEY, self.clock))
        folder, max_age_s = identity.revocations_dir, identity.revocations_max_age_s
        revoked_file = None if folder is None else RevocationsFile(folder / f"{self.name}.json", jwks, identity.issuer)
        keys_file = None if folder is None else KeyIdsFile(folder / f"{self.name}.keys", jwks, identity.issuer)
        self.revoked = RevokedKeys(self.clock, revoked_file, max_age_s)
        self.existing = ExistingKeys(self.clock, keys_file, max_age_s)
        await self.revoked.restore()
        await self.existing.restore()
        unknown = None
        if self._postgres is not None:
            unknown = UnknownKeyAuditor(self.auditor, self._postgres, self.clock, lambda: self.policy.policy_id)
            self._stack.push_async_callback(unknown.close)
            await self.enter(background(unknown.write, "audit-unknown-keys", clock=self.clock))
        self.verifier = TokenVerifier(
            jwks,
            identity.issuer,
            identity.audience,
            self.clock,
            self.revoked,
            existing=self.existing,
            is_current=lambda: self.revoked.is_current() and self.existing.is_current(),
            on_absent=_ignore if unknown is None else unknown.record,
        )

    async def enter(self, part: AbstractAsyncContextManager[T]) -> T:
        """Opens a part, to be closed before all that was opened earlier."""
        return await self._stack.enter_async_context(part)

    async def _open_bus(self, settings: ChassisSettings) -> Bus:
        """The event bus that the settings choose."""
        if settings.bus.kind == "kafka":
            from mesh.events.kafka import KafkaBus

            return await self.enter(KafkaBus(settings.bus, clock=self.clock))
        client = await self.enter(valkey.open(settings.valkey))
        return ValkeyStreams(client, PostgresCursors(self.postgres), clock=self.clock, ids=self.ids)

    async def apply_retention(
        self, rules: Sequence[RetentionRule | MaintenanceTask], days: int, **days_of: int
    ) -> None:
        """Remove once a day what the rules call old, with one period for every tenant.

        It is `days` for all rules, but for those whose period `days_of` names.
        """

        async def periods() -> Mapping[str, RetentionPeriods]:
            return {rule.period: RetentionPeriods(days_of.get(rule.period, days)) for rule in rules}

        retention = Retention(self.postgres, rules, periods, self.clock)
        await self.enter(background(retention.run_daily, "retention", clock=self.clock))

    def depends_on(self, dependency: Dependency) -> None:
        """Tell of something, once this context serves, as `dependency.<name>` of its health."""
        self._dependencies.append(dependency)

    async def token(self) -> str:
        """A token for this service's own work, across tenants."""
        own = Claims(tenant_id=SYSTEM_TENANT, subject=f"spiffe://soma/{self.name}", roles=(SERVICE_ROLE,))
        return await self.minter.for_service(own)

    async def peer(self, context: str) -> grpc.aio.Channel:
        """The channel to another context. It calls as the caller being served, else as this service.

        Raises SettingsError when its address is not set, LookupError for one that is not declared as a peer.
        """
        if context not in {*self.context.peers, GATEWAY}:
            raise LookupError(f"{context} is none of the peers that the context {self.name} declares")
        if context not in self._peers:
            address = self.settings.peers.get(context)
            if address is None:
                variable = f"SA01_PEERS_{context.upper()}"
                raise SettingsError(f"{self.name} calls {context}, whose address is not set: set {variable}=host:port")
            channel = connect(
                address, self.settings.tls, service_config=self.service_config, token=self.token, clock=self.clock
            )
            self._peers[context] = await self.enter(channel)
        return self._peers[context]

    async def consume(
        self, handlers: Handlers, *, batch: int = BATCH, store_dead_letter: StoreDeadLetter | None = None
    ) -> None:
        """Applies the events of the topics that the context consumes, as the group of its name, until it is left.

        `batch` is how many may share a transaction; `store_dead_letter` takes those of the topic of dead letters.
        """
        lag = telemetry.gauge("consumer_lag", "Events that wait for a consumer group.", ("group",))
        consumer = Consumer(
            self.bus,
            self.postgres,
            self.codec,
            self.name,
            self.context.consumes,
            handlers,
            dead_letter_sink=DeadLetterPublisher(
                self.outbox, ids=self.ids, clock=self.clock, store_dead_letter=store_dead_letter
            ),
            clock=self.clock,
            batch=batch,
            on_lag=lag.labels(self.name).set,
        )
        await self.enter(consumer)

    async def process_pool(self, name: str, limits: ProcessLimits) -> ProcessPool:
        """Child processes for what would hold the event loop."""
        return await self.enter(ProcessPool.open(name, limits, self.clock, self.cpu_usage))

    async def audit_queue(self) -> AuditQueue:
        """A queue for audit entries of what changes no row, which is written until the chassis is left."""
        queue = AuditQueue(self.auditor, self.postgres, self.clock, lambda: self.policy.policy_id)
        self._stack.push_async_callback(queue.close)
        await self.enter(background(queue.write, "audit-queue", clock=self.clock))
        return queue

    async def follow_keys(self, streams: KeyStreams | None = None) -> None:
        """Keeps the sets of revoked and of existing keys true to the gateway's streams, or to those given."""
        streams = streams or KeyStreams.from_gateway(await self.peer(GATEWAY))
        self._follows_keys = True
        if self.settings.identity.revocations_dir is not None:
            await self.enter(background(self.revoked.persist_file, "revocations-file", clock=self.clock))
        await self.enter(background(lambda: self.revoked.follow(streams.revoked), "revocations", clock=self.clock))
        await self.enter(background(lambda: self.existing.follow(streams.existing), "api-keys", clock=self.clock))

    async def wait_for_keys(self) -> bool:
        """Waits a moment until both sets are current; false when they are not."""
        current = await asyncio.gather(
            self.revoked.wait_current(REVOCATIONS_WAIT_S), self.existing.wait_current(REVOCATIONS_WAIT_S)
        )
        return all(current)

    async def serve(self, registrations: Sequence[Registration], interceptors: Sequence[Interceptor] = ()) -> Service:
        """Serves, behind the one chain, until the chassis is left.

        `interceptors` are the context's own: each stands as far in as its constraints let it.
        """
        if self._follows_keys and not await self.wait_for_keys():
            logging.get_logger(__name__).warning("API keys are refused until the gateway tells which exist")
        refusals = None
        if self._postgres is not None:
            refusals = RefusalAuditor(self.auditor, self._postgres, self.clock, lambda: self.policy.policy_id)
            self._stack.push_async_callback(refusals.close)
            await self.enter(background(refusals.write, "audit-refusals", clock=self.clock))
        chain = standard_chain(
            verifier=self.verifier,
            authorizer=RegoAuthorizer(self.policy),
            clock=self.clock,
            on_refused=None if refusals is None else refusals.record,
            revocations=self.revoked,
            cpu_usage=self.cpu_usage,
            version=self.context.version,
        )
        chain = insert_interceptors(chain, interceptors)
        server = serving(self.name, self.settings.server, self.settings.tls, registrations, chain, clock=self.clock)
        opened = await self.enter(server)
        judged = Dependencies(
            opened.health, self._dependencies, self.clock, discover=lambda: of_background(self._background)
        )
        await self.enter(background(judged.run, "dependencies", clock=self.clock))
        return Service(self.name, opened.address)


def _ignore(_caller: object) -> None:
    """Nothing is audited without a database."""


async def _waiting(relay: Relay, max_lag_s: float) -> str:
    """Why the outbox is not well."""
    lag = await relay.lag()
    return "" if lag <= max_lag_s else f"the oldest event waits for {lag:.0f} s to be sent"


@asynccontextmanager
async def chassis(context: ContextDeclaration, settings: StatelessSettings) -> AsyncIterator[Chassis]:
    """Opens the chassis of a context; everything entered through it is undone in reverse on leaving."""
    async with AsyncExitStack() as stack:
        opened = Chassis(context, settings, stack)
        await opened.start()
        yield opened
