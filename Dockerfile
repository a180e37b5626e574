# One image for every part: `docker run freshet api`, `… learner`, `… migrate`.
FROM python:3.11-slim-bookworm AS build

WORKDIR /app
# Another torch build, for example for CUDA: --build-arg PIP_ARGS="--index-url …"
ARG PIP_ARGS=""
RUN python -m venv /opt/freshet
COPY constraints.txt ./
# torch first and alone: the largest layer, and it changes least.
RUN /opt/freshet/bin/pip install --no-cache-dir -c constraints.txt ${PIP_ARGS} torch==2.13.0
COPY pyproject.toml README.md LICENSE alembic.ini ./
COPY models models
COPY service service
COPY migrations migrations
RUN /opt/freshet/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.11-slim-bookworm

RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin freshet \
    && install -d -o freshet -g freshet /var/lib/freshet
COPY --from=build /opt/freshet /opt/freshet
USER freshet
WORKDIR /var/lib/freshet
ENV PATH=/opt/freshet/bin:$PATH \
    FRESHET_HOST=0.0.0.0 \
    FRESHET_PORT=8000 \
    FRESHET_DATA_DIR=/var/lib/freshet \
    FRESHET_LOG_FORMAT=json
VOLUME /var/lib/freshet
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["freshet"]
CMD ["api"]
