package bundle

import (
	"slices"
	"strings"
)

// alertingRow returns the priority of a row of the list of priorities, like AL.P1.delay. Its alerts follow from the rules.
func alertingRow(id string) (priority string, ok bool) {
	rest, ok := strings.CutPrefix(id, "AL.")
	priority, _, _ = strings.Cut(rest, ".")
	return priority, ok
}

// alertsOf returns the alerts that cover a row: those that it lists, and those whose rules have its priority and category, sorted.
func (k *checker) alertsOf(e coverageEntry) []string {
	if e.Category == "" {
		return e.Alerts
	}
	names := slices.Clone(e.Alerts)
	for _, r := range k.bundle.rules {
		if k.follows(e, r) {
			names = append(names, r.Alert)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// follows reports whether a rule has the category of a row, and can have its priority. An escalation has the category of the escalated alert and none of its
// own, and is in no row.
func (k *checker) follows(e coverageEntry, r *rule) bool {
	return r.Alert != "" && r.Labels["category"] == e.Category && k.canHave(r, "priority", e.Priority)
}

// canHave reports whether a label of a rule's series can have a value.
func (k *checker) canHave(r *rule, name, value string) bool {
	values := k.Rule(&r.Rule).Values(name)
	return values == nil || slices.Contains(values, value)
}

// priorityRow checks the entry of a row of the list of priorities.
func (k *checker) priorityRow(id string, line int, priority string, e coverageEntry) {
	switch {
	case len(e.Due) > 0 && e.Priority == "" && e.Category == "": // planned
	case e.Priority == "" || e.Category == "":
		k.report(coverageFile, line, id, "a row of the list of priorities has a priority and a category, from which its alerts follow")
	case e.Priority != priority:
		k.report(coverageFile, line, id, "the priority is %q, but the row is about %s", e.Priority, priority)
	case !slices.ContainsFunc(k.bundle.rules, func(r *rule) bool { return k.follows(e, r) }):
		k.report(coverageFile, line, id, "no alert has priority %s and category %q", e.Priority, e.Category)
	}
	for _, name := range e.Alerts {
		rules := k.bundle.alerts(name)
		switch {
		case rules == nil: // reported for all rows
		case !slices.ContainsFunc(rules, func(r *rule) bool { return k.canHave(r, "priority", priority) }):
			k.report(coverageFile, line, id, "the alert %s never has priority %s", name, priority)
		case e.Category != "" && slices.ContainsFunc(rules, func(r *rule) bool { return k.follows(e, r) }):
			k.report(coverageFile, line, id, "the alert %s follows from priority and category: list only alerts of other categories", name)
		}
	}
}

// ownCategories are the categories of alerts about the monitoring itself, which the list of priorities has no row for.
var ownCategories = []string{"heartbeat", "monitoring", "resolution", "routing"}

// priorityRows checks that no two rows have the same alerts by having the same priority and category, and that every alert's category is one of a row.
func (k *checker) priorityRows() {
	c := k.bundle.coverage
	first := map[[2]string]string{}
	categories := slices.Clone(ownCategories)
	for _, id := range sortedKeys(c.entries) {
		e := c.entries[id]
		if e.Category == "" {
			continue
		}
		key := [2]string{e.Priority, e.Category}
		if other, seen := first[key]; seen {
			k.report(coverageFile, c.lines[id], id, "%s has the same priority and category", other)
		}
		first[key] = id
		categories = append(categories, e.Category)
	}
	slices.Sort(categories)
	categories = slices.Compact(categories)
	for _, r := range k.bundle.rules {
		if category := r.Labels["category"]; r.Alert != "" && category != "" && !slices.Contains(categories, category) {
			k.rulef(r, "the label category is %q, not one of %s (those of the rows AL.… of %s, and of the monitoring itself)", category, strings.Join(categories, ", "), coverageFile)
		}
	}
}
