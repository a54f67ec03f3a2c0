-- One row per object: its name, and everything that defines it. Rights are sorted: their order means nothing.
-- NOT NULL constraints count with their column: their names are generated.
SELECT 'schema ' || n.nspname, concat_ws('|', n.nspowner::regrole, ARRAY(SELECT r::text FROM unnest(n.nspacl) r ORDER BY 1)::text, obj_description(n.oid))
FROM pg_namespace n WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_t%'
UNION ALL
SELECT 'relation ' || c.oid::regclass, concat_ws('|', c.relkind, c.relowner::regrole, ARRAY(SELECT r::text FROM unnest(c.relacl) r ORDER BY 1)::text, c.relpersistence,
    c.reloptions::text, c.relispartition, pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid),
    obj_description(c.oid, 'pg_class'),
    CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
    CASE WHEN c.relkind IN ('i', 'I') THEN pg_get_indexdef(c.oid) END)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_t%'
UNION ALL
SELECT 'column ' || a.attrelid::regclass || '.' || a.attname, concat_ws('|', format_type(a.atttypid, a.atttypmod),
    a.attnotnull, a.attidentity, a.attgenerated, ARRAY(SELECT r::text FROM unnest(a.attacl) r ORDER BY 1)::text, pg_get_expr(f.adbin, f.adrelid),
    col_description(a.attrelid, a.attnum))
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_t%'
UNION ALL
SELECT 'constraint ' || o.conrelid::regclass || '.' || o.conname, concat_ws('|', pg_get_constraintdef(o.oid),
    o.convalidated) FROM pg_constraint o JOIN pg_namespace n ON n.oid = o.connamespace WHERE o.contype <> 'n' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_t%'
UNION ALL
SELECT 'function ' || p.oid::regprocedure, concat_ws('|', p.proowner::regrole, ARRAY(SELECT r::text FROM unnest(p.proacl) r ORDER BY 1)::text, p.prosrc)
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_t%'
UNION ALL
SELECT 'trigger ' || t.tgrelid::regclass || '.' || t.tgname, pg_get_triggerdef(t.oid) || t.tgenabled::text
FROM pg_trigger t WHERE NOT t.tgisinternal
UNION ALL
SELECT 'type ' || t.oid::regtype, concat_ws('|', t.typtype, t.typowner::regrole, ARRAY(SELECT r::text FROM unnest(t.typacl) r ORDER BY 1)::text,
    ARRAY(SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)::text)
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype IN ('e', 'd') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_t%'
UNION ALL
SELECT 'extension ' || extname, extversion FROM pg_extension
UNION ALL
SELECT 'statistics ' || s.stxnamespace::regnamespace || '.' || s.stxname, pg_get_statisticsobjdef(s.oid)
FROM pg_statistic_ext s
UNION ALL
SELECT 'default rights ' || concat_ws(' ', d.defaclrole::regrole, n.nspname, d.defaclobjtype), ARRAY(SELECT r::text FROM unnest(d.defaclacl) r ORDER BY 1)::text
FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
