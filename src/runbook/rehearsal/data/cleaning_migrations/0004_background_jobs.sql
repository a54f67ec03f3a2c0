-- What the worker does beside the API: when each job last ran, what waits, what failed for good, and who may schedule.
CREATE TABLE public.job_heartbeats (
    job text PRIMARY KEY,
    beat_at timestamptz NOT NULL DEFAULT now(),
    interval_s integer NOT NULL CHECK (interval_s > 0)
);
INSERT INTO public.job_heartbeats (job, interval_s) VALUES ('reminders', 60), ('invoices', 300), ('backup', 86400);
CREATE TABLE public.jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    payload text NOT NULL,
    idempotency_key text NOT NULL UNIQUE,
    enqueued_at timestamptz NOT NULL DEFAULT now(),
    taken_at timestamptz,
    done_at timestamptz
);
CREATE INDEX jobs_waiting_idx ON public.jobs (enqueued_at) WHERE done_at IS NULL;
CREATE TABLE public.dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    payload text,
    idempotency_key text,
    error text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    replayed_at timestamptz
);
-- What a job did: whoever reads it sees a job that ran twice.
CREATE TABLE public.job_runs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    idempotency_key text NOT NULL,
    ran_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE public.locks (
    name text PRIMARY KEY,
    owner text,
    beat_at timestamptz
);
INSERT INTO public.locks (name) VALUES ('scheduler'), ('backup');
