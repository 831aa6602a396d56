/* core/list: an intrusive, doubly linked, circular list. A zeroed node is in no list. */
/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OSBD_CORE_LIST_H
#define OSBD_CORE_LIST_H

#include "core/mem.h"

#include <stdbool.h>

struct list {
	struct list *next, *prev;
};

static inline void list_init(struct list *list)
{
	list->next = list->prev = list;
}

static inline bool list_empty(const struct list *list)
{
	return !list->next || list->next == list;
}

static inline bool list_linked(const struct list *node)
{
	return node->next != NULL;
}

static inline void list_append(struct list *list, struct list *node)
{
	node->prev = list->prev;
	node->next = list;
	list->prev->next = node;
	list->prev = node;
}

static inline void list_prepend(struct list *list, struct list *node)
{
	list_append(list->next, node);
}

/* Removing a node that is in no list does nothing. */
static inline void list_remove(struct list *node)
{
	if (!node->next)
		return;
	node->prev->next = node->next;
	node->next->prev = node->prev;
	node->next = node->prev = NULL;
}

static inline struct list *list_first(const struct list *list)
{
	return list_empty(list) ? NULL : list->next;
}

/* The first node, taken out; NULL when there is none. */
static inline struct list *list_shift(struct list *list)
{
	struct list *node = list_first(list);

	if (node)
		list_remove(node);
	return node;
}

/* Safe against removal of the current node. */
#define list_each(pos, tmp, list)                                        \
	for ((pos) = (list)->next, (tmp) = (pos)->next; (pos) != (list); \
	     (pos) = (tmp), (tmp) = (pos)->next)

#endif
