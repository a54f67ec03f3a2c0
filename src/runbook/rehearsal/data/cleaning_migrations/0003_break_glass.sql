-- Tokens for emergency writes while administrators may only read: who asked, why, and how long each is good for.
CREATE TABLE public.break_glass_tokens (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_hash bytea NOT NULL UNIQUE,
    asked_by text NOT NULL,
    reason text NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
-- Who of the administrators did what; `token` is the id of the break-glass token that allowed it.
CREATE TABLE public.admin_audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    who text NOT NULL,
    action text NOT NULL,
    token bigint REFERENCES public.break_glass_tokens,
    detail jsonb
);
