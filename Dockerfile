FROM python:3.11-slim-bookworm AS builder

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
COPY requirements.txt /tmp/requirements.txt
RUN /opt/venv/bin/pip install --require-hashes --only-binary :all: -r /tmp/requirements.txt

WORKDIR /srv/configsync
COPY LICENSE alembic.ini ./
COPY alembic/ alembic/
COPY app/ app/
COPY deploy/entrypoint.sh deploy/healthcheck.py deploy/
# Readable by every user, whatever umask the checkout was made with.
RUN chmod -R a+rX,go-w . && /opt/venv/bin/python -m compileall -q app alembic


FROM python:3.11-slim-bookworm

RUN groupadd --gid 10001 configsync \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin configsync \
    && install --directory --owner 10001 --group 10001 --mode 0700 /data

COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /srv/configsync /srv/configsync

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/srv/configsync \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOST=0.0.0.0 \
    DATA_DIR=/data \
    AUDIT_LOG_FILE=/data/logs/config_logs.log

WORKDIR /srv/configsync
USER 10001:10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "/srv/configsync/deploy/healthcheck.py"]
ENTRYPOINT ["python", "-m", "app"]
CMD ["serve"]
