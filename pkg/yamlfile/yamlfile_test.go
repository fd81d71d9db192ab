package yamlfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type house struct {
	Name  string `yaml:"name"`
	Rooms []struct {
		Name  string   `yaml:"name"`
		Light Duration `yaml:"light"`
		Doors int      `yaml:"doors"`
	} `yaml:"rooms"`
}

func TestMistakesNameFileLineAndKey(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown key":        {"name: a\nroms: []", `house.yml:2: unknown key "roms"`},
		"unknown key inside": {"rooms:\n  - name: hall\n    dors: 1", `house.yml:3: unknown key "dors"`},
		"wrong type":         {"rooms:\n  - doors: many", "house.yml:2: cannot unmarshal !!str `many` as int"},
		"bad duration":       {"rooms:\n  - light: 5 minutes", `house.yml:2: "5 minutes" is not a duration like 30s, 5m or 1h`},
		"key twice":          {"name: a\nname: b", `house.yml:2: mapping key "name" already defined at line 1`},
		"not YAML":           {"name: [a", "house.yml:1: did not find expected ',' or ']'"},
		"empty":              {"", "house.yml: the file is empty"},
		"two documents":      {"name: a\n---\nname: b", "house.yml: the file holds more than one YAML document"},
	} {
		t.Run(name, func(t *testing.T) {
			var h house
			if _, err := Parse("house.yml", []byte(c.text), &h); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q, want %q", err, c.want)
			}
		})
	}
}

func TestErrorfFindsTheLineOfAKey(t *testing.T) {
	var h house
	f, err := Parse("house.yml", []byte("name: a\nrooms:\n  - name: hall\n  - name: attic\n    light: 1h30m\n"), &h)
	if err != nil {
		t.Fatal(err)
	}
	if got := time.Duration(h.Rooms[1].Light); got != 90*time.Minute {
		t.Errorf("light %v, want 1h30m", got)
	}
	for key, line := range map[string]int{"name": 1, "rooms": 2, "rooms.0": 3, "rooms.1.light": 5, "rooms.1.doors": 4, "rooms.7.doors": 2, "garden": 1} {
		if got := f.Line(key); got != line {
			t.Errorf("line of %s is %d, want %d", key, got, line)
		}
	}
	if got, want := f.Errorf("rooms.1.light", "too %s", "dark").Error(), "house.yml:5: rooms.1.light: too dark"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}
}

func TestAFileThatCannotBeReadIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "house.yml")
	if _, err := Read(path, &house{}); err == nil || err.Error() != "read "+path+": no such file or directory" {
		t.Errorf("missing file: %v", err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path, &house{}); err == nil || !strings.Contains(err.Error(), path+": is a directory") {
		t.Errorf("folder: %v", err)
	}
}
