package bundle

import (
	"strings"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// uidsFile lists the uid of each dashboard, which never changes.
const uidsFile = "grafana-dashboards/uids.yml"

func (l *loader) uids() {
	if len(l.bundle.dashboards) == 0 {
		return
	}
	l.file(uidsFile, func(file string, text []byte) error {
		_, err := yamlfile.Parse(file, text, &l.bundle.uids)
		return err
	})
}

// uidsAndTitles checks that uids are those of uidsFile, and that uids and titles are unique.
func (k *checker) uidsAndTitles() {
	files := map[string]bool{}
	uids, titles := map[string]string{}, map[string]string{}
	for _, d := range k.bundle.dashboards {
		name := strings.TrimPrefix(d.File, "grafana-dashboards/")
		files[name] = true
		known, listed := k.bundle.uids[name]
		switch {
		case !listed:
			k.report(uidsFile, 1, "", "%s is missing: add it with its uid, %s", name, d.UID)
		case known.value != d.UID:
			k.report(d.File, d.UIDLine, "", "the uid is %q, but was %q (%s:%d): alerts, links and bookmarks lead to it, and Grafana refuses another one for the same file",
				d.UID, known.value, uidsFile, known.line)
		}
		for _, one := range []struct {
			what, value string
			seen        map[string]string
		}{{"uid", d.UID, uids}, {"title", d.Title, titles}} {
			if other, twice := one.seen[one.value]; twice {
				k.report(d.File, d.Line, "", "%s has the same %s, %q", other, one.what, one.value)
			}
			one.seen[one.value] = d.File
		}
	}
	for _, name := range sortedKeys(k.bundle.uids) {
		if !files[name] {
			k.report(uidsFile, k.bundle.uids[name].line, "", "there is no dashboard %s: a dashboard that goes leaves links behind", name)
		}
	}
}
