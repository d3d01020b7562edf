"""The document of a collection: every key that the real service's recorded answers and its own types have."""

from typing import Any

from sandbox.globus.collection import ENTITY_TYPES, HOST, Collection
from sandbox.globus.documents import USER

Document = dict[str, Any]
OWNER = "sandbox@globusid.org"


def endpoint_document(place: Collection, *, in_use: bool) -> Document:
    """A collection.  Keys of servers that no longer exist keep the value that they have for all others."""
    personal = place.kind == "personal"
    return {
        **_LEGACY,
        "DATA_TYPE": "endpoint",
        "DATA": [_server(place)],
        "id": place.id,
        "display_name": place.name,
        "name": place.id,
        "canonical_name": f"{USER}#{place.id}",
        "username": USER,
        "owner_id": place.owner_id,
        "owner_string": OWNER,
        "entity_type": ENTITY_TYPES[place.kind],
        "is_globus_connect": personal,
        "gcp_connected": place.connected if personal else None,
        "gcp_paused": False if personal else None,
        "in_use": in_use,
        "default_directory": "/",
        "shareable": True,
        "acl_available": place.kind == "guest",
        "my_effective_roles": [],
        **{key: getattr(place, key) for key in ("organization", "description", "keywords", "contact_email")},
    }


def _server(place: Collection) -> Document:
    host, _, port = HOST.partition(":")
    return {
        "DATA_TYPE": "server",
        "id": 1,
        "hostname": host,
        "port": int(port),
        "scheme": "gsiftp",
        "uri": f"gsiftp://{HOST}",
        "subject": f"/CN={place.id}",
    }


_NULLS = (
    "acl_max_expiration_period_mins authentication_timeout_mins contact_info department gcs_manager_url "
    "gcs_version globus_connect_setup_key host_endpoint host_endpoint_display_name host_endpoint_id host_path "
    "https_server info_link last_accessed_time local_user_info_available location mapped_collection_display_name "
    "mapped_collection_id max_concurrency max_parallelism mfa_required myproxy_dn myproxy_server network_use "
    "non_functional_endpoint_display_name non_functional_endpoint_id oauth_server preferred_concurrency "
    "preferred_parallelism s3_url subscription_id tlsftp_server user_message user_message_link"
)
_LEGACY: Document = {
    **dict.fromkeys(_NULLS.split()),
    "acl_editable": False,
    "activated": False,
    "authentication_assurance_timeout": None,
    "disable_anonymous_writes": False,
    "disable_verify": False,
    "expire_time": None,
    "expires_in": 0,
    "force_encryption": False,
    "force_verify": False,
    "french_english_bilingual": False,
    "high_assurance": False,
    "mfa_required": False,
    "non_functional": False,
    "public": False,
    "requester_pays": False,
    "s3_owner_activated": False,
}
