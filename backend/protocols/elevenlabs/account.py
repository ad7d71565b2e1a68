"""Responses to ElevenLabs' account requests: one free local user."""

from __future__ import annotations

from typing import Any


def describe_user(max_characters: int) -> dict[str, Any]:
    """The response to `GET /v1/user`. `max_characters`: the limit of one request."""
    return {
        "user_id": "duplex-tts",
        "is_new_user": False,
        "is_onboarding_completed": True,
        "can_use_delayed_payment_methods": False,
        "created_at": 0,
        "subscription": describe_subscription(max_characters),
    }


def describe_subscription(max_characters: int) -> dict[str, Any]:
    """The response to `GET /v1/user/subscription`."""
    return {
        "tier": "local",
        "status": "active",
        "character_count": 0,
        "character_limit": max_characters,
        "can_extend_character_limit": False,
        "allowed_to_extend_character_limit": False,
        "next_character_count_reset_unix": None,
        "voice_slots_used": 0,
        "professional_voice_slots_used": 0,
        "voice_limit": 0,
        "voice_add_edit_counter": 0,
        "max_voice_add_edits": 0,
        "professional_voice_limit": 0,
        "can_extend_voice_limit": False,
        "can_use_instant_voice_cloning": False,
        "can_use_professional_voice_cloning": False,
        "has_open_invoices": False,
        "open_invoices": [],
    }
