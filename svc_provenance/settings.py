"""Settings of provenance."""

from __future__ import annotations

from pydantic import Field

from mesh.chassis import ChassisSettings
from mesh.settings import BlobSettings, Block, TemporalSettings
from svc_provenance.domain.retention import MAX_DAYS, MIN_AUDIT_DAYS


class ReceiptSettings(Block):
    """How receipts are written."""

    low_quality: float = Field(
        0.6, ge=0, le=1, description="a job whose accepted results score below this on average gets a full receipt"
    )
    queue_size: int = Field(
        1_000, ge=1, description="jobs that wait for their receipt in memory; further ones are found again later"
    )
    compact_above: int = Field(500, ge=0, description="waiting jobs above which every receipt takes the compact form")
    poll_interval_s: float = Field(5.0, gt=0, description="seconds between two searches for jobs without a receipt")
    wait_for_facts_s: float = Field(
        3_600.0, ge=0, description="seconds after a job's end at which its receipt no longer waits for missing facts"
    )


class RetentionSettings(Block):
    """For how long records are stored where a tenant has not set its own retention."""

    receipts_days: int = Field(365, ge=1, le=MAX_DAYS, description="days that receipts are stored")
    traces_days: int = Field(
        90,
        ge=1,
        le=MAX_DAYS,
        description="days that the facts of traces, and the provenance of erased assets, are stored",
    )
    audit_days: int = Field(730, ge=MIN_AUDIT_DAYS, le=MAX_DAYS, description="days that audit entries are stored")
    dead_letters_days: int = Field(30, ge=1, le=MAX_DAYS, description="days that settled dead letters are stored")


class AuditSettings(Block):
    """How audit chains are anchored outside the database."""

    anchor_entries: int = Field(1_000, ge=1, description="entries of a chain after which it gets an anchor")
    anchor_every_s: float = Field(
        300.0, gt=0, description="seconds since the last anchor after which a chain that grew gets another"
    )
    anchor_poll_interval_s: float = Field(
        5.0, gt=0, description="seconds between two searches for chains that need an anchor"
    )


class DeadLetterSettings(Block):
    """How dead letters are sent again by themselves."""

    requeues: int = Field(5, ge=0, le=100, description="times that a dead letter is sent again by itself, at most")
    first_pause_s: float = Field(30.0, gt=0, description="pause before the first time, in seconds; each next is double")
    longest_pause_s: float = Field(3_600.0, gt=0, description="longest such pause, in seconds")
    policy_every_s: float = Field(300.0, gt=0, description="pause of a dead letter that policy refuses, in seconds")
    policy_expiry_s: float = Field(
        3_600.0, gt=0, description="age in seconds at which a dead letter that policy refuses expires"
    )
    unsettled_days: int = Field(
        180,
        ge=1,
        le=MAX_DAYS,
        description="days without a change after which a dead letter that is not settled is removed",
    )
    poll_interval_s: float = Field(15.0, gt=0, description="seconds between two searches for overdue dead letters")


class Settings(ChassisSettings):
    """All settings of provenance."""

    receipts: ReceiptSettings = ReceiptSettings()
    retention: RetentionSettings = RetentionSettings()
    audit: AuditSettings = AuditSettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    temporal: TemporalSettings
    blobs: BlobSettings
