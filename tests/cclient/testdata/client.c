/*
 * Puts, gets, runs a transaction and watches, over plain NATS. Prints one line
 * for each step; exits 1 at the first answer that is not the expected one.
 *
 * usage: client URL
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nats/nats.h>

#define TIMEOUT_MS 10000

static natsConnection *conn;

/* check ends the program where a call of libnats failed. */
static void check(natsStatus s, const char *what)
{
    if (s == NATS_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, natsStatus_GetText(s));
    exit(1);
}

static void expect(int holds, const char *what, natsMsg *msg)
{
    if (holds)
        return;
    fprintf(stderr, "%s: unexpected message on %s: %.*s\n", what, natsMsg_GetSubject(msg),
            natsMsg_GetDataLength(msg), natsMsg_GetData(msg));
    exit(1);
}

static const char *header(natsMsg *msg, const char *name)
{
    const char *value;

    return natsMsgHeader_Get(msg, name, &value) == NATS_OK ? value : "";
}

static int body_is(natsMsg *msg, const char *text)
{
    int n = natsMsg_GetDataLength(msg);

    return n == (int)strlen(text) && memcmp(natsMsg_GetData(msg), text, n) == 0;
}

/* body_has: a reply's body ends with a NUL that libnats adds. */
static int body_has(natsMsg *msg, const char *text)
{
    return strstr(natsMsg_GetData(msg), text) != NULL;
}

/* request sends a body, with one header where name is not NULL. */
static natsMsg *request(const char *subject, const char *body, const char *name, const char *value)
{
    natsMsg *msg, *reply;

    check(natsMsg_Create(&msg, subject, NULL, body, (int)strlen(body)), "message");
    if (name != NULL)
        check(natsMsgHeader_Set(msg, name, value), "header");
    check(natsConnection_RequestMsg(&reply, conn, msg, TIMEOUT_MS), subject);
    natsMsg_Destroy(msg);
    return reply;
}

/* next_event waits for the next event after a position; others are repeats. */
static natsMsg *next_event(natsSubscription *sub, int64_t *revision, int64_t *place)
{
    for (;;) {
        natsMsg *msg;
        int64_t r, p;

        check(natsSubscription_NextMsg(&msg, sub, TIMEOUT_MS), "waiting for an event");
        r = strtoll(header(msg, "Kv-Revision"), NULL, 10);
        p = strtoll(header(msg, "Kv-Sub"), NULL, 10);
        if (r > *revision || (r == *revision && p > *place)) {
            *revision = r;
            *place = p;
            return msg;
        }
        natsMsg_Destroy(msg);
    }
}

static void put_and_get(void)
{
    char id[64], revision[32];
    natsMsg *msg;

    /* Unique to this run: a put repeated under its id takes effect once. */
    snprintf(id, sizeof id, "cclient-%ld", (long)time(NULL));
    msg = request("kv.put.c.greeting", "hello", "Nats-Msg-Id", id);

    expect(header(msg, "Kv-Error")[0] == 0, "put", msg);
    snprintf(revision, sizeof revision, "%s", header(msg, "Kv-Revision"));
    natsMsg_Destroy(msg);

    msg = request("kv.put.c.greeting", "hello", "Nats-Msg-Id", id);
    expect(strcmp(header(msg, "Kv-Revision"), revision) == 0, "the same put again", msg);
    natsMsg_Destroy(msg);

    msg = request("kv.get.c.greeting", "", NULL, NULL);
    expect(body_is(msg, "hello") && strcmp(header(msg, "Kv-Mod-Revision"), revision) == 0, "get", msg);
    natsMsg_Destroy(msg);
    printf("put and get\n");

    msg = request("kv.get.c.missing", "", NULL, NULL);
    expect(strcmp(header(msg, "Kv-Error"), "not_found") == 0, "get of a missing key", msg);
    natsMsg_Destroy(msg);
    msg = request("kv.put.c.greeting", "hi", "Kv-If-Revision", "0");
    expect(strcmp(header(msg, "Kv-Error"), "compare_failed") == 0, "put of an existing key as new", msg);
    natsMsg_Destroy(msg);
    printf("typed errors\n");
}

static void transactions(void)
{
    const char *txn = "{\"if\":[{\"key\":\"/c/greeting\",\"value\":\"hello\"}],"
                      "\"then\":[{\"put\":{\"key\":\"/c/greeting\",\"value\":\"moved\"}}],"
                      "\"else\":[{\"get\":{\"key\":\"/c/greeting\"}}]}";
    natsMsg *msg = request("kv.txn", txn, NULL, NULL);

    expect(body_has(msg, "\"succeeded\":true"), "txn that holds", msg);
    natsMsg_Destroy(msg);
    msg = request("kv.txn", txn, NULL, NULL);
    expect(body_has(msg, "\"succeeded\":false") && body_has(msg, "\"moved\""), "txn that does not hold", msg);
    natsMsg_Destroy(msg);
    printf("transaction\n");

    msg = request("kv.delete.c.greeting", "", NULL, NULL);
    expect(strcmp(header(msg, "Kv-Deleted"), "1") == 0, "delete", msg);
    natsMsg_Destroy(msg);
    printf("delete\n");
}

static void watched(natsSubscription *sub)
{
    static const struct { const char *event, *value; } want[] = {
        {"put", "hello"}, {"put", "moved"}, {"delete", ""},
    };
    int64_t revision = 0, place = -1;

    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        natsMsg *msg = next_event(sub, &revision, &place);

        expect(strcmp(natsMsg_GetSubject(msg), "kvwatch.c.greeting") == 0 &&
               strcmp(header(msg, "Kv-Event"), want[i].event) == 0 && body_is(msg, want[i].value),
               "watch", msg);
        printf("event %s %s\n", want[i].event, want[i].value);
        natsMsg_Destroy(msg);
    }
}

int main(int argc, char **argv)
{
    natsSubscription *sub;
    natsMsg *msg;

    if (argc != 2) {
        fprintf(stderr, "usage: %s URL\n", argv[0]);
        return 2;
    }
    check(natsConnection_ConnectTo(&conn, argv[1]), argv[1]);
    check(natsConnection_SubscribeSync(&sub, conn, "kvwatch.c.>"), "subscribe");
    /* The fan-out's answer to anything sent after the subscription says that
     * the subscription has arrived. */
    msg = request("kv.sync.c", "", NULL, NULL);
    expect(header(msg, "Kv-Error")[0] == 0, "sync", msg);
    natsMsg_Destroy(msg);

    put_and_get();
    transactions();
    watched(sub);

    natsSubscription_Destroy(sub);
    natsConnection_Destroy(conn);
    nats_Close();
    return 0;
}
