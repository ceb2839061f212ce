# The image of Larder.
#
#   docker build -t larder .
#   docker run -p 5000:5000 -v larder:/var/lib/larder --read-only larder
#
# Build and run stages are of the same Debian, as better-sqlite3 is native code.

FROM node:26-bookworm AS build
WORKDIR /app
# By themselves, so that a changed source file does not install everything again.
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json ./
COPY src ./src
# `npm prune` also removes the `node` package, which only gives checkouts their Node.
RUN npm run build && npm prune --omit=dev && chmod 755 dist/main.js

FROM node:26-bookworm-slim
ARG VERSION=unreleased
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Larder" \
      org.opencontainers.image.description="A pull-through cache for container images" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

# Nothing here installs packages any more. Other versions of the base image have yarn too.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \
      /usr/local/bin/yarn /usr/local/bin/yarnpkg /opt/yarn-* \
 && ln -s /app/dist/main.js /usr/local/bin/larder \
 && install -d -o 65532 -g 65532 -m 0750 /var/lib/larder

WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY LICENSE ./
# `larder version` and `larder_build_info` say it.
RUN echo "$REVISION" > revision
COPY config/container.yaml /etc/larder/larder.yaml

# The only folder that Larder writes to. SQLite looks for room for its temporary files in the usual
# places, none of which can be written with a read-only root.
VOLUME /var/lib/larder
ENV NODE_ENV=production \
    LARDER_CONFIG=/etc/larder/larder.yaml \
    SQLITE_TMPDIR=/var/lib/larder

# A number, so that Kubernetes can see that it is not root (runAsNonRoot).
USER 65532:65532
EXPOSE 5000 9090
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
  CMD ["node", "/app/dist/main.js", "healthcheck"]

# Node is process 1 by itself: Larder ends on SIGTERM and SIGINT in its own way, letting the pulls
# under way finish, and an init would bring a package into the image. Where one is wanted for what
# others start in the container, `docker run --init` brings it.
STOPSIGNAL SIGTERM
# What dies young is collected in smaller steps: an idle process is a seventh smaller.
ENTRYPOINT ["node", "--max-semi-space-size=4", "/app/dist/main.js"]
CMD ["serve"]
