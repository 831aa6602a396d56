/* The same tests as for the other stores, on a real PostgreSQL. */
/* SPDX-License-Identifier: Apache-2.0 */
#define STORE_POSTGRES
#include "store_model_test.c"
