-- The schema of the stand-in of Roost: what a dump of a real system contains, awkward names included.
CREATE EXTENSION citext;
CREATE SCHEMA billing;
CREATE SCHEMA "Owl Registry";

CREATE TYPE public.subscriber_status AS ENUM
    ('pending', 'trial', 'active', 'past_due', 'paused', 'suspended', 'closed');
CREATE DOMAIN billing.cents AS bigint CHECK (VALUE >= 0);
CREATE SEQUENCE billing.invoice_number START 100000 INCREMENT 7;

CREATE FUNCTION public.touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    NEW.updated_at := now();  -- a semicolon; and a $dollar$ inside the body
    RETURN NEW;
END
$body$;

CREATE TABLE "Owl Registry"."Owl Nest" (
    "Nest №" integer PRIMARY KEY,
    "Wing span (cm)" numeric(6, 2) NOT NULL CHECK ("Wing span (cm)" > 0),
    "quote""d" text,
    "order" smallint NOT NULL
);

CREATE TABLE public.subscribers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email citext NOT NULL UNIQUE,
    display_name text NOT NULL,
    email_domain text GENERATED ALWAYS AS (split_part(email::text, '@', 2)) STORED,
    status public.subscriber_status NOT NULL DEFAULT 'trial',
    stripe_customer_id text UNIQUE,
    password_hash text,
    force_password_reset boolean NOT NULL DEFAULT false,
    notes text,
    referred_by bigint REFERENCES public.subscribers,
    current_subscription_id bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT "email has an @" CHECK (email::text LIKE '%_@_%')
);

CREATE TABLE public.subscriptions (
    id bigserial PRIMARY KEY,
    subscriber_id bigint NOT NULL REFERENCES public.subscribers ON DELETE CASCADE,
    plan text NOT NULL CHECK (plan IN ('hatchling', 'fledgling', 'great horned')),
    status text NOT NULL DEFAULT 'incomplete'
        CHECK (status IN ('incomplete', 'trialing', 'active', 'past_due', 'unpaid', 'canceled')),
    stripe_subscription_id text UNIQUE,
    price billing.cents NOT NULL,
    period tstzrange NOT NULL,
    invoice_number bigint NOT NULL UNIQUE DEFAULT nextval('billing.invoice_number'),
    created_at timestamptz NOT NULL DEFAULT now()
);
-- Both tables point at each other: only constraints made after the data can be restored.
ALTER TABLE public.subscribers ADD CONSTRAINT subscribers_current_subscription_fkey
    FOREIGN KEY (current_subscription_id) REFERENCES public.subscriptions ON DELETE SET NULL;

CREATE TABLE public.api_tokens (
    id bigserial PRIMARY KEY,
    subscriber_id bigint NOT NULL REFERENCES public.subscribers ON DELETE CASCADE,
    token_hash bytea NOT NULL UNIQUE,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at timestamptz,
    revoked_reason text
);

CREATE TABLE public.refresh_tokens (
    id uuid PRIMARY KEY,
    subscriber_id bigint NOT NULL REFERENCES public.subscribers ON DELETE CASCADE,
    family uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_reason text
);

CREATE TABLE public.owl_sessions (
    id bigserial PRIMARY KEY,
    subscriber_id bigint NOT NULL REFERENCES public.subscribers ON DELETE CASCADE,
    nest integer REFERENCES "Owl Registry"."Owl Nest",
    client inet,
    readings double precision[],
    "select" text,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz,
    revoked_reason text
);

CREATE TABLE public.audit_log (
    id bigserial,
    actor_type text NOT NULL,
    actor_id bigint,
    action text NOT NULL,
    resource_type text NOT NULL,
    ip_address inet,
    detail jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE TABLE public.audit_log_2024 PARTITION OF public.audit_log
    FOR VALUES FROM ('2024-01-01+00') TO ('2025-01-01+00');
CREATE TABLE public.audit_log_2025 PARTITION OF public.audit_log
    FOR VALUES FROM ('2025-01-01+00') TO ('2026-01-01+00');
CREATE TABLE public.audit_log_later PARTITION OF public.audit_log DEFAULT;

-- What Stripe told us, once per event: its id keeps a repeated delivery from acting twice.
CREATE TABLE billing.webhook_events (
    event_id text PRIMARY KEY,
    type text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX subscribers_domain_idx ON public.subscribers (email_domain) WHERE status <> 'closed';
CREATE INDEX subscriptions_subscriber_idx ON public.subscriptions (subscriber_id);
CREATE INDEX "api tokens, live" ON public.api_tokens (subscriber_id) WHERE revoked_at IS NULL;
CREATE INDEX refresh_tokens_expiry_idx ON public.refresh_tokens (expires_at) INCLUDE (subscriber_id);
CREATE INDEX owl_sessions_created_idx ON public.owl_sessions USING brin (created_at);
CREATE INDEX owl_sessions_subscriber_idx ON public.owl_sessions (subscriber_id);
CREATE INDEX audit_log_actor_idx ON public.audit_log (actor_id, (detail ->> 'request'));
CREATE STATISTICS public.subscriptions_plan_price ON plan, price FROM public.subscriptions;

CREATE TRIGGER subscribers_touch BEFORE UPDATE ON public.subscribers
    FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();

CREATE VIEW public.active_subscribers WITH (security_barrier) AS
    SELECT s.id, s.email, count(t.id) AS live_tokens
    FROM public.subscribers s LEFT JOIN public.api_tokens t ON t.subscriber_id = s.id AND t.revoked_at IS NULL
    WHERE s.status = 'active' GROUP BY s.id, s.email;
CREATE MATERIALIZED VIEW billing.monthly_revenue AS
    SELECT date_trunc('month', created_at AT TIME ZONE 'UTC') AS month, plan, sum(price) AS cents
    FROM public.subscriptions GROUP BY 1, 2 WITH NO DATA;
CREATE UNIQUE INDEX monthly_revenue_key ON billing.monthly_revenue (month, plan);

COMMENT ON TABLE public.subscribers IS 'People who pay; "notes" hold what support typed:
two lines, a \backslash and a semicolon;';
COMMENT ON COLUMN "Owl Registry"."Owl Nest"."quote""d" IS 'Grüße 🦉';

GRANT USAGE ON SCHEMA public, billing, "Owl Registry" TO roost_app, roost_readonly;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, "Owl Registry" TO roost_app;
GRANT SELECT, INSERT ON billing.webhook_events TO roost_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public, billing TO roost_app;
GRANT SELECT ON ALL TABLES IN SCHEMA public, billing, "Owl Registry" TO roost_readonly;
REVOKE SELECT ON public.api_tokens, public.refresh_tokens FROM roost_readonly;
GRANT SELECT (id, subscriber_id, scopes) ON public.api_tokens TO roost_readonly;
ALTER DEFAULT PRIVILEGES FOR ROLE roost IN SCHEMA public GRANT SELECT ON TABLES TO roost_readonly;
