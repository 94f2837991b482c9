/* Prints the continua that libmemcached computes, which are the content of points.txt.
 *
 *   apt-get install gcc libc6-dev libmemcached-dev
 *   cc -o points points.c -lmemcached && ./points > points.txt
 *
 * The layout of a point is internal to libmemcached (1.1.4) and not in its headers.
 */
#include <libmemcached/memcached.h>
#include <stdio.h>
#include <string.h>

struct memcached_continuum_item_st {
  uint32_t index;
  uint32_t value;
};

#define HOSTS 6

static const char *const hosts[HOSTS] = {"10.0.0.1", "10.0.0.2", "cache.example.org", "::1", "/run/s.sock", "h"};
static const in_port_t ports[HOSTS] = {1042, 11211, 1042, 11211, 0, 65535};
static const uint32_t equal[HOSTS] = {1, 1, 1, 1, 1, 1};
static const uint32_t unequal[HOSTS] = {1, 2, 3, 1, 7, 2};

static memcached_st *client_of(const char *continuum, int count, const uint32_t *weights) {
  memcached_st *client = memcached_create(NULL);
  if (strcmp(continuum, "libketama") == 0) {
    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
  } else {
    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_DISTRIBUTION, MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA);
    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_HASH, MEMCACHED_HASH_MD5);
  }
  for (int host = 0; host < count; host++) {
    uint32_t weight = weights == NULL ? 1 : weights[host % HOSTS];
    if (strncmp(hosts[host % HOSTS], "/", 1) == 0) {
      memcached_server_add_unix_socket_with_weight(client, hosts[host % HOSTS], weight);
    } else {
      memcached_server_add_with_weight(client, hosts[host % HOSTS], ports[host % HOSTS], weight);
    }
  }
  return client;
}

static void print(const char *continuum, int count, const uint32_t *weights) {
  memcached_st *client = client_of(continuum, count, weights);
  printf("continuum %s", continuum);
  for (int host = 0; host < count; host++) {
    printf(" %s %u %u", hosts[host], ports[host], weights[host]);
  }
  printf("\n");
  for (uint32_t point = 0; point < client->ketama.continuum_points_counter; point++) {
    printf("point %u %u\n", client->ketama.continuum[point].value, client->ketama.continuum[point].index);
  }
  for (int number = 0; number < 50; number++) {
    char key[64];
    int length = snprintf(key, sizeof(key), "session-%d", number * number);
    printf("key %s %u\n", key, memcached_generate_hash(client, key, (size_t) length));
  }
  memcached_free(client);
}

/* Prints the number of points of two servers with these weights. */
static void print_share(uint32_t first, uint32_t second) {
  memcached_st *client = memcached_create(NULL);
  uint32_t found[2] = {0, 0};
  memcached_behavior_set(client, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
  memcached_server_add_with_weight(client, "a", 1042, first);
  memcached_server_add_with_weight(client, "b", 1042, second);
  for (uint32_t point = 0; point < client->ketama.continuum_points_counter; point++) {
    found[client->ketama.continuum[point].index]++;
  }
  printf("share %u %u %u %u\n", first, second, found[0], found[1]);
  memcached_free(client);
}

int main(void) {
  static const int counts[] = {1, 2, HOSTS};
  for (int index = 0; index < 3; index++) {
    print("libketama", counts[index], equal);
    print("plain", counts[index], equal);
  }
  print("libketama", 2, unequal);
  print("libketama", HOSTS, unequal);
  /* libmemcached refuses more than 99 servers. */
  for (int count = 1; count < 100; count++) {
    memcached_st *client = client_of("libketama", count, NULL);
    printf("points %d %u\n", count, client->ketama.continuum_points_counter);
    memcached_free(client);
  }
  /* Weights whose shares are not exact in binary, and the largest. */
  for (uint32_t first = 1; first <= 12; first++) {
    for (uint32_t second = first; second <= 40; second += 3) {
      print_share(first, second);
    }
  }
  print_share(1, 1000);
  print_share(1, 65535);
  print_share(65535, 65535);
  return 0;
}
