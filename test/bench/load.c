/*
 * A load client that costs little: HTTP/1.1 GETs over keep-alive connections, one thread, epoll.
 * Bodies are received with MSG_TRUNC, so the kernel drops them without a copy; header blocks are read.
 * One JSON object on standard output; load.ts says what its fields mean.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEADER_LIMIT 16384
#define DISCARD_LIMIT (1 << 20)
#define EXTRA_LIMIT 4096

enum state { STATE_CLOSED, STATE_HEADER, STATE_BODY };

struct connection {
  int fd;
  enum state state;
  char header[HEADER_LIMIT];
  size_t have;
  uint64_t left;
  uint64_t sent_at;
  bool reusable;
  unsigned long started;
};

struct latencies {
  uint32_t *us;
  size_t count, room;
};

struct response {
  int status;
  uint64_t length;
  bool has_length, close, chunked;
};

static struct {
  const char *host, *method, *range;
  int port, connections;
  unsigned long requests;
  double seconds, timeout;
  char extra[EXTRA_LIMIT];
  char **paths;
  size_t path_count;
  bool walk;
} opt = {.host = "127.0.0.1", .method = "GET", .connections = 1, .requests = 1, .timeout = 120};

static struct {
  uint64_t requests, bytes, errors, status[600];
  struct latencies first, total;
  char reason[160];
} seen;

static char **requests;
static size_t next_path;
static int poller;
static unsigned long live;
static uint64_t began_at, stop_at;
static char discarded[DISCARD_LIMIT];

static void die(const char *what) {
  fprintf(stderr, "load: %s\n", what);
  exit(2);
}

static void *need(void *memory) {
  if (!memory) die("out of memory");
  return memory;
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void record(struct latencies *l, uint64_t since) {
  if (l->count == l->room) {
    l->room = l->room ? l->room * 2 : 4096;
    l->us = need(realloc(l->us, l->room * sizeof *l->us));
  }
  l->us[l->count++] = (uint32_t)((now_ns() - since) / 1000);
}

static int ascending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static uint32_t percentile(const struct latencies *l, double p) {
  if (!l->count) return 0;
  return l->us[(size_t)(p * (double)(l->count - 1) + 0.5)];
}

static void count_error(const char *reason) {
  seen.errors++;
  if (!seen.reason[0]) snprintf(seen.reason, sizeof seen.reason, "%s", reason);
}

static bool open_connection(struct connection *c) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
  if (inet_pton(AF_INET, opt.host, &to.sin_addr) != 1) die("--host takes an IPv4 address");
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0) return false;
  if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0) {
    close(c->fd);
    c->fd = -1;
    return false;
  }
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
  return epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &ev) == 0;
}

static void close_connection(struct connection *c) {
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
}

static bool send_all(int fd, const char *text, size_t length) {
  while (length) {
    ssize_t n = send(fd, text, length, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) {
      struct pollfd p = {.fd = fd, .events = POLLOUT};
      poll(&p, 1, 1000);
      continue;
    }
    if (n < 0) return false;
    text += n;
    length -= (size_t)n;
  }
  return true;
}

static bool may_start(const struct connection *c) {
  return opt.seconds > 0 ? now_ns() < stop_at : c->started < opt.requests;
}

/* Starts the connection's next request, on a new socket where the old one is gone, or retires it. */
static void start(struct connection *c) {
  while (may_start(c)) {
    c->started++;
    c->have = 0;
    c->sent_at = now_ns();
    size_t turn = opt.walk ? c->started - 1 : next_path++;
    const char *request = requests[turn % opt.path_count];
    if (c->fd < 0 && !open_connection(c)) {
      count_error("connection refused");
      break;
    }
    if (send_all(c->fd, request, strlen(request))) {
      c->state = STATE_HEADER;
      return;
    }
    count_error("the connection broke while a request was sent");
    close_connection(c);
  }
  c->state = STATE_CLOSED;
  close_connection(c);
  live--;
}

static void fail(struct connection *c, const char *reason) {
  count_error(reason);
  close_connection(c);
  start(c);
}

static void finish(struct connection *c) {
  seen.requests++;
  record(&seen.total, c->sent_at);
  if (!c->reusable) close_connection(c);
  start(c);
}

static struct response parse_header(char *text) {
  struct response r = {0};
  if (sscanf(text, "HTTP/1.%*c %3d", &r.status) != 1 || r.status < 100) r.status = 0;
  for (char *line = strstr(text, "\r\n"); line; line = strstr(line, "\r\n")) {
    line += 2;
    if (!strncasecmp(line, "content-length:", 15)) {
      r.length = strtoull(line + 15, NULL, 10);
      r.has_length = true;
    } else if (!strncasecmp(line, "transfer-encoding:", 18)) {
      r.chunked = true;
    } else if (!strncasecmp(line, "connection:", 11)) {
      r.close = strncasecmp(line + 11 + strspn(line + 11, " "), "close", 5) == 0;
    }
  }
  bool bodiless = !strcmp(opt.method, "HEAD") || r.status == 204 || r.status == 304;
  if (bodiless) {
    r.length = 0;
    r.has_length = true;
    r.chunked = false;
  }
  return r;
}

static void on_header(struct connection *c) {
  ssize_t n = recv(c->fd, c->header + c->have, HEADER_LIMIT - 1 - c->have, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return fail(c, "closed before the end of a header block");
  c->have += (size_t)n;
  c->header[c->have] = 0;
  char *end = memmem(c->header, c->have, "\r\n\r\n", 4);
  if (!end) {
    if (c->have == HEADER_LIMIT - 1) fail(c, "header block over 16 KiB");
    return;
  }
  size_t early = c->have - (size_t)(end + 4 - c->header);
  end[2] = 0;
  struct response r = parse_header(c->header);
  if (!r.status || r.status > 599) return fail(c, "not an HTTP response");
  if (r.chunked || !r.has_length) return fail(c, "a response without Content-Length");
  if (early > r.length) return fail(c, "more bytes than Content-Length");
  seen.status[r.status]++;
  seen.bytes += early;
  c->reusable = !r.close;
  c->left = r.length - early;
  c->state = STATE_BODY;
  if (early || !r.length) record(&seen.first, c->sent_at);
  if (!c->left) return finish(c);
  if (!early) c->have = 0; /* the first byte of the body is still to come */
}

static void on_body(struct connection *c) {
  size_t most = c->left < DISCARD_LIMIT ? (size_t)c->left : DISCARD_LIMIT;
  ssize_t n = recv(c->fd, discarded, most, MSG_TRUNC);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) return fail(c, "closed before the end of a body");
  if (!c->have) {
    record(&seen.first, c->sent_at);
    c->have = 1;
  }
  seen.bytes += (uint64_t)n;
  c->left -= (uint64_t)n;
  if (!c->left) finish(c);
}

static const char *value(int argc, char **argv, int *i) {
  if (*i + 1 >= argc) die("an option lacks its value");
  return argv[++*i];
}

static void add_path(const char *path) {
  opt.paths = need(realloc(opt.paths, (opt.path_count + 1) * sizeof *opt.paths));
  opt.paths[opt.path_count++] = need(strdup(path));
}

static void read_paths(const char *name) {
  FILE *file = fopen(name, "r");
  if (!file) die("--paths: no such file");
  char *line = NULL;
  size_t room = 0;
  for (ssize_t n; (n = getline(&line, &room, file)) > 0;) {
    if (line[n - 1] == '\n') line[n - 1] = 0;
    if (line[0]) add_path(line);
  }
  free(line);
  fclose(file);
}

static void add_header(const char *header) {
  if (strlen(opt.extra) + strlen(header) + 3 > EXTRA_LIMIT) die("headers over 4 KiB");
  strcat(strcat(opt.extra, header), "\r\n");
}

static void parse_options(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    const char *name = argv[i], *v = value(argc, argv, &i);
    if (!strcmp(name, "--host")) opt.host = v;
    else if (!strcmp(name, "--port")) opt.port = atoi(v);
    else if (!strcmp(name, "--path")) add_path(v);
    else if (!strcmp(name, "--paths")) read_paths(v);
    else if (!strcmp(name, "--connections")) opt.connections = atoi(v);
    else if (!strcmp(name, "--requests")) opt.requests = strtoul(v, NULL, 10);
    else if (!strcmp(name, "--seconds")) opt.seconds = atof(v);
    else if (!strcmp(name, "--timeout")) opt.timeout = atof(v);
    else if (!strcmp(name, "--method")) opt.method = v;
    else if (!strcmp(name, "--range")) opt.range = v;
    else if (!strcmp(name, "--walk")) opt.walk = strcmp(v, "no") != 0;
    else if (!strcmp(name, "--header")) add_header(v);
    else die("unknown option");
  }
  if (opt.port < 1 || opt.port > 65535) die("--port is needed");
  if (!opt.path_count) die("--path or --paths is needed");
  if (opt.connections < 1) die("--connections must be at least 1");
  if (opt.range) {
    char header[256];
    snprintf(header, sizeof header, "Range: %s", opt.range);
    add_header(header);
  }
}

static void build_requests(void) {
  requests = need(calloc(opt.path_count, sizeof *requests));
  for (size_t i = 0; i < opt.path_count; i++) {
    /* What stands behind a path is the range wanted of it. */
    char own[256] = "", *range = strchr(opt.paths[i], ' ');
    if (range) {
      *range++ = 0;
      snprintf(own, sizeof own, "Range: %s\r\n", range);
    }
    if (asprintf(&requests[i], "%s %s HTTP/1.1\r\nHost: %s:%d\r\nUser-Agent: bench\r\n%s%s\r\n",
                 opt.method, opt.paths[i], opt.host, opt.port, opt.extra, own) < 0)
      die("out of memory");
  }
}

static void run(struct connection *all) {
  uint64_t limit = began_at + (uint64_t)(opt.timeout * 1e9);
  struct epoll_event ready[256];
  for (int i = 0; i < opt.connections; i++) start(&all[i]);
  while (live && now_ns() < limit) {
    int n = epoll_wait(poller, ready, 256, 100);
    for (int i = 0; i < n; i++) {
      struct connection *c = ready[i].data.ptr;
      if (c->state == STATE_HEADER) on_header(c);
      else if (c->state == STATE_BODY) on_body(c);
    }
  }
  for (; live; live--) count_error("not finished within --timeout");
}

static void print_report(double seconds) {
  struct rusage own;
  getrusage(RUSAGE_SELF, &own);
  double cpu = (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec) +
               (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec) / 1e6;
  qsort(seen.first.us, seen.first.count, sizeof(uint32_t), ascending);
  qsort(seen.total.us, seen.total.count, sizeof(uint32_t), ascending);
  printf("{\"requests\":%lu,\"bytes\":%lu,\"seconds\":%.6f,\"errors\":%lu,\"reason\":\"%s\"",
         seen.requests, seen.bytes, seconds, seen.errors, seen.reason);
  printf(",\"status\":{");
  for (int s = 100, comma = 0; s < 600; s++)
    if (seen.status[s]) printf("%s\"%d\":%lu", comma++ ? "," : "", s, seen.status[s]);
  printf("},\"firstByteUs\":{\"p50\":%u,\"p99\":%u}", percentile(&seen.first, 0.5),
         percentile(&seen.first, 0.99));
  printf(",\"totalUs\":{\"p50\":%u,\"p99\":%u}", percentile(&seen.total, 0.5),
         percentile(&seen.total, 0.99));
  printf(",\"requestsPerSecond\":%.1f,\"cpuSeconds\":%.3f}\n", (double)seen.requests / seconds, cpu);
}

int main(int argc, char **argv) {
  parse_options(argc, argv);
  build_requests();
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (poller < 0) die("epoll_create1 failed");
  struct connection *all = need(calloc((size_t)opt.connections, sizeof *all));
  /* Every connection is there before the clock starts: what is measured is the answer. */
  for (int i = 0; i < opt.connections; i++) {
    all[i].fd = -1;
    if (!open_connection(&all[i])) die("connection refused");
  }
  live = (unsigned long)opt.connections;
  began_at = now_ns();
  stop_at = began_at + (uint64_t)(opt.seconds * 1e9);
  run(all);
  print_report((double)(now_ns() - began_at) / 1e9);
  return 0;
}
