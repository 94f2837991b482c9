/* Prints the continua that libmemcached computes, for vectors.txt to be made of and compared with:
 *
 *   apt-get install gcc libc6-dev libmemcached-dev
 *   cc -o points points.c -lmemcached && ./points > vectors.txt
 *
 * The layout of a point is libmemcached's own (1.1.4): it is not in its headers.
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

static memcached_st *client_of(const char *continuum, int count) {
  memcached_st *client = memcached_create(NULL);
  if (strcmp(continuum, "libketama") == 0) {
    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1);
  } else {
    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_DISTRIBUTION, MEMCACHED_DISTRIBUTION_CONSISTENT_KETAMA);
    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_HASH, MEMCACHED_HASH_MD5);
  }
  for (int host = 0; host < count; host++) {
    if (strncmp(hosts[host % HOSTS], "/", 1) == 0) {
      memcached_server_add_unix_socket(client, hosts[host % HOSTS]);
    } else {
      memcached_server_add(client, hosts[host % HOSTS], ports[host % HOSTS]);
    }
  }
  return client;
}

static void print(const char *continuum, int count) {
  memcached_st *client = client_of(continuum, count);
  printf("continuum %s", continuum);
  for (int host = 0; host < count; host++) {
    printf(" %s %u", hosts[host], ports[host]);
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

int main(void) {
  static const int counts[] = {1, 2, HOSTS};
  for (int index = 0; index < 3; index++) {
    print("libketama", counts[index]);
    print("plain", counts[index]);
  }
  /* It refuses more than 99. */
  for (int count = 1; count < 100; count++) {
    memcached_st *client = client_of("libketama", count);
    printf("points %d %u\n", count, client->ketama.continuum_points_counter);
    memcached_free(client);
  }
  return 0;
}
