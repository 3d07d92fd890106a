/* ids: they depend on template and uid alone, and are found again. */
#include "data/curate/ids.h"

#include <stdio.h>

#include "tests/harness.h"

TEST(ids_are_what_another_hmac_makes)
{
    char id[ID_DIGITS + 1];
    id_make(id, "0123", "set/1");
    CHECK_STR(id, "a023a009afcb5f7669179ace40e7f7e4"); /* printf set/1 | openssl dgst -sha256 -hmac 0123 */
    id_make(id, "0124", "set/1");
    CHECK(strcmp(id, "a023a009afcb5f7669179ace40e7f7e4"));
}

TEST(ids_are_found_again)
{
    enum { N = 5000 };
    Table t = {.kind = TABLE_64};
    char id[ID_DIGITS + 1], uid[16];
    bool added;
    CHECK_INT(ids_find(&t, "00000000000000000000000000000000"), -1);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < N; i++) {
            snprintf(uid, sizeof uid, "%d", i);
            id_make(id, "template", uid);
            CHECK_INT(ids_find(&t, id), round ? i : -1);
            REQUIRE_OK(ids_add(&t, id, &added));
            CHECK(added == !round);
            CHECK_INT(ids_find(&t, id), i);
        }
    CHECK_INT(t.n, N);
    table_free(&t);
}

TEST(ids_of_another_form_are_none)
{
    static const char *const OTHERS[] = {"", "0123", "0000000000000000000000000000000G", "0000000000000000000000000000000A",
                                         "000000000000000000000000000000000", "request-1"};
    Table t = {.kind = TABLE_64};
    bool added;
    REQUIRE_OK(ids_add(&t, "00000000000000000000000000000000", &added));
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++) {
        CHECK_INT(ids_find(&t, OTHERS[i]), -1);
        CHECK(ids_add(&t, OTHERS[i], &added) == ERR_DATA);
    }
    table_free(&t);
}
