# The program as one image.  Build it with: docker compose build
#
# The first stage installs exactly what constraints.txt names, each package checked by its hash; the second takes over
# the finished environment.  There is no compiler in either of them, no pip cache, and nothing runs as root.

FROM python:3.13.15-slim-bookworm AS build
ARG EXTRAS="dashboard notices postgres redis"
ENV PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
WORKDIR /opt/alyx-transfer
RUN python -m venv .venv
COPY . .
RUN .venv/bin/python scripts/install.py ${EXTRAS} \
 && .venv/bin/python -m compileall -q transfer workers config dashboard pipeline cli sandbox rehearsal deploy .venv/lib \
 && .venv/bin/python -m pip uninstall --quiet --yes pip

FROM python:3.13.15-slim-bookworm
LABEL org.opencontainers.image.title="alyx-transfer" org.opencontainers.image.licenses="MIT"
RUN apt-get update \
 && apt-get install --yes --no-install-recommends openssh-client \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 alyx-transfer \
 && useradd --uid 10001 --gid 10001 --home-dir /var/lib/alyx-transfer --create-home \
        --shell /usr/sbin/nologin alyx-transfer \
 && install -d -o 10001 -g 10001 -m 0700 /srv/box
COPY --from=build /opt/alyx-transfer /opt/alyx-transfer
ENV PATH="/opt/alyx-transfer/.venv/bin:${PATH}" \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    XDG_STATE_HOME=/var/lib/alyx-transfer/state
WORKDIR /var/lib/alyx-transfer
USER 10001:10001
ENTRYPOINT ["alyx-transfer"]
CMD ["--help"]
