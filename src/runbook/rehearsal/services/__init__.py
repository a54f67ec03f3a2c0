"""The stand-in of Roost's own services: small, real, and nothing but the standard library.

`python -m runbook.rehearsal.services NAME --port P --env-file F` runs relay, owl_api, auth, tunnel or cdn.
The file of settings is read once, at the start, into the process's environment, as a container gets its own
at its creation: a changed file changes nothing until the service is started again.

They ask the same PostgreSQL as everything else, auth really signs tokens that the others really check, and a
stream goes the way it goes in the real system: public address → tunnel → owl_api → CDN → relay.
"""
