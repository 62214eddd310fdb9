"""Converters between the messages of the gateway's API and its model."""

from __future__ import annotations

from dataclasses import fields
from types import MappingProxyType
from typing import TYPE_CHECKING

from mesh.degradation import DegradationLevel
from mesh.rpc.wellknown import moment, timestamp
from soma.gateway.v1 import health_service_pb2, identity_service_pb2, permission_service_pb2
from svc_gateway.app.keys import KeySpec
from svc_gateway.domain.degradation import State
from svc_gateway.domain.permissions import AssetByteLimits, EffectivePermissions, TenantPermissions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.idempotency import RequestKey
    from svc_gateway.app.keys import IssuedToken
    from svc_gateway.domain.degradation import Component, Report
    from svc_gateway.domain.keys import ApiKey, Revocation, Tenant

_BEARER = "Bearer"
_LEVELS: Mapping[DegradationLevel, health_service_pb2.DegradationLevel.ValueType] = MappingProxyType(
    {
        DegradationLevel.UNKNOWN: health_service_pb2.DEGRADATION_LEVEL_UNSPECIFIED,
        DegradationLevel.NONE: health_service_pb2.DEGRADATION_LEVEL_NONE,
        DegradationLevel.MINOR: health_service_pb2.DEGRADATION_LEVEL_MINOR,
        DegradationLevel.MODERATE: health_service_pb2.DEGRADATION_LEVEL_MODERATE,
        DegradationLevel.SEVERE: health_service_pb2.DEGRADATION_LEVEL_SEVERE,
        DegradationLevel.CRITICAL: health_service_pb2.DEGRADATION_LEVEL_CRITICAL,
    }
)
_STATES: Mapping[State, health_service_pb2.ComponentState.ValueType] = MappingProxyType(
    {
        State.UNKNOWN: health_service_pb2.COMPONENT_STATE_UNKNOWN,
        State.HEALTHY: health_service_pb2.COMPONENT_STATE_HEALTHY,
        State.UNHEALTHY: health_service_pb2.COMPONENT_STATE_UNHEALTHY,
    }
)


def token_to_proto(issued: IssuedToken) -> identity_service_pb2.Token:
    """Returns the message of a token."""
    return identity_service_pb2.Token(token=issued.token, token_type=_BEARER, expire_time=timestamp(issued.expires_at))


def key_spec_from_proto(message: identity_service_pb2.CreateApiKeyRequest, request: RequestKey) -> KeySpec:
    """Returns the fields of a new key; INVALID_ARGUMENT for an invalid time."""
    key = message.api_key
    return KeySpec(
        display_name=key.display_name,
        subject=key.subject,
        roles=tuple(key.roles),
        expires_at=moment(key.expire_time, "api_key.expire_time"),
        request=request,
        tenant_id=message.tenant_id,
        personas=tuple(key.personas),
        capsules=tuple(key.capsules),
    )


def api_key_to_proto(key: ApiKey, secret: str = "") -> identity_service_pb2.ApiKey:
    """Returns the message of a key, with its secret where there is one."""
    return identity_service_pb2.ApiKey(
        key_id=key.key_id,
        display_name=key.display_name,
        subject=key.subject,
        roles=key.roles,
        expire_time=timestamp(key.expires_at),
        secret=secret,
        create_time=timestamp(key.created_at),
        revoke_time=timestamp(key.revoked_at),
        created_by=key.created_by,
        personas=key.personas,
        capsules=key.capsules,
    )


def revocation_to_proto(revocation: Revocation) -> identity_service_pb2.Revocation:
    """Returns the message of a revoked key."""
    return identity_service_pb2.Revocation(key_id=revocation.key_id, expire_time=timestamp(revocation.expires_at))


def tenant_to_proto(tenant: Tenant) -> identity_service_pb2.Tenant:
    """Returns the message of a tenant."""
    return identity_service_pb2.Tenant(
        tenant_id=tenant.tenant_id,
        display_name=tenant.display_name,
        plan=tenant.plan,
        create_time=timestamp(tenant.created_at),
        permissions=permissions_to_proto(tenant.permissions),
    )


def permissions_from_proto(message: permission_service_pb2.TenantPermissions) -> TenantPermissions:
    """Returns the permissions of a message."""
    return TenantPermissions(
        denied_providers=tuple(message.denied_providers),
        denied_tools=tuple(message.denied_tools),
        max_cost_tier=message.max_cost_tier,
        data_classification_floor=message.data_classification_floor,
        personas=tuple(message.personas),
        capsules=tuple(message.capsules),
        max_asset_bytes=asset_byte_limits_from_proto(message.max_asset_bytes),
    )


def permissions_to_proto(permissions: TenantPermissions) -> permission_service_pb2.TenantPermissions:
    """Returns the message of permissions."""
    return permission_service_pb2.TenantPermissions(
        denied_providers=permissions.denied_providers,
        denied_tools=permissions.denied_tools,
        max_cost_tier=permissions.max_cost_tier,
        data_classification_floor=permissions.data_classification_floor,
        personas=permissions.personas,
        capsules=permissions.capsules,
        max_asset_bytes=asset_byte_limits_to_proto(permissions.max_asset_bytes),
    )


def effective_permissions_to_proto(effective: EffectivePermissions) -> permission_service_pb2.EffectivePermissions:
    """Returns the message of a caller's permissions."""
    permissions = effective.permissions
    return permission_service_pb2.EffectivePermissions(
        tenant_id=effective.tenant_id,
        plan=effective.plan,
        denied_providers=permissions.denied_providers,
        denied_tools=permissions.denied_tools,
        max_cost_tier=permissions.max_cost_tier,
        data_classification_floor=permissions.data_classification_floor,
        personas=permissions.personas,
        capsules=permissions.capsules,
        max_asset_bytes=asset_byte_limits_to_proto(permissions.max_asset_bytes),
    )


def asset_byte_limits_from_proto(message: permission_service_pb2.AssetByteLimits) -> AssetByteLimits:
    """Returns the limits of a message."""
    return AssetByteLimits(*(getattr(message, field.name) for field in fields(AssetByteLimits)))


def asset_byte_limits_to_proto(limits: AssetByteLimits) -> permission_service_pb2.AssetByteLimits:
    """Returns the message of limits."""
    return permission_service_pb2.AssetByteLimits(
        image=limits.image,
        audio=limits.audio,
        video=limits.video,
        document=limits.document,
        text=limits.text,
        other=limits.other,
    )


def status_to_proto(report: Report, version: str) -> health_service_pb2.Status:
    """Returns the message of the mesh's state; `version` is the version of the mesh."""
    return health_service_pb2.Status(
        level=_LEVELS[report.level],
        reason=report.reason,
        unhealthy_components=report.unhealthy,
        update_time=timestamp(report.assessed_at),
        version=version,
        unknown_components=report.unknown,
    )


def component_to_proto(component: Component) -> health_service_pb2.Component:
    """Returns the message of a component."""
    return health_service_pb2.Component(
        name=component.name,
        state=_STATES[component.state],
        level=_LEVELS[component.level],
        reason=component.reason,
        response_ms=round(component.response_s * 1000, 3),
        check_time=timestamp(component.checked_at),
        critical=component.critical,
        version=component.version,
    )
