# What the record may keep of a tenant's content. Default deny: of a prompt only a redacted summary is kept.
#
# Input: {"tenant": {"id": "..."}}
# A bundle of one's own names the tenants that want their whole (still redacted) prompts in the record.
package soma.provenance

full_prompt_tenants := set()

default store_full_prompt := false

store_full_prompt if input.tenant.id in full_prompt_tenants
