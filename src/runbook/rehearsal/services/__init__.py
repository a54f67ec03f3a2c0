"""The stand-ins of the systems' own services: small, real, and nothing but the standard library.

`python -m runbook.rehearsal.services NAME --port P --env-file F` runs one of them.
The file of settings is read once, at the start, into the process's environment, as a container gets its own
at its creation: a changed file changes nothing until the service is started again.

They ask the same PostgreSQL as everything else. Roost: auth really signs tokens that the others really check,
and a stream goes the way it goes in the real system: public address → tunnel → owl_api → CDN → relay. The
cleaning platform: public address → proxy → api, which answers from its real database and migrations.
"""
