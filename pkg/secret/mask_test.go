package secret

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
)

// holder holds a secret where package fmt calls no method.
type holder struct {
	key  Value
	keys []Value
	of   map[string]Value
}

func TestASecretInAnUnexportedFieldIsNotPrinted(t *testing.T) {
	s := New("hunter2-unexported")
	h := holder{s, []Value{s}, map[string]Value{"a": s}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{h, &h, struct{ in holder }{h}, []holder{h}} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) {
				t.Errorf("%s of %T prints the secret: %s", verb, v, text)
			}
		}
	}
}

func TestTheUserAndPasswordOfAnAddressAreMasked(t *testing.T) {
	for text, want := range map[string]string{
		"Get \"http://user:pass@host:1/x\": refused":  "Get \"http://<secret>@host:1/x\": refused",
		"http://token@host":                           "http://<secret>@host",
		"https://host/a@b, mail a@b.example":          "https://host/a@b, mail a@b.example",
		"redis://:pw@host/0 and postgres://u:p@host2": "redis://<secret>@host/0 and postgres://<secret>@host2",
	} {
		if got := Mask(text); got != want {
			t.Errorf("%q is masked as %q, want %q", text, got, want)
		}
	}
}

func TestAnAddressThatCannotBeReadShowsItsHostAlone(t *testing.T) {
	for text, want := range map[string]string{
		"prometheus:9090":             "prometheus:9090",
		"anna:half/p@ssword@host:1/x": "<secret>@host:1/x",
		"http://anna:half/b@host":     "<secret>@host",
		"@host":                       "<secret>@host",
	} {
		if got := Address(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

func TestTheRegistryHasALimit(t *testing.T) {
	r := newRegistry()
	for i := range maxKnown + 10 {
		r.add(fmt.Sprintf("secret-%06d", i))
		r.add(fmt.Sprintf("secret-%06d", i))
	}
	if len(r.secrets) != maxKnown || r.mask("secret-010009") != mask {
		t.Errorf("%d secrets, and the last is shown as %q", len(r.secrets), r.mask("secret-010009"))
	}
	if got := r.mask("secret-000009"); got != "secret-000009" || len(r.forms) != maxKnown*len(forms("secret-000009")) {
		t.Errorf("the registry has %d forms, and a forgotten secret is shown as %q, want those of the others and the text", len(r.forms), got)
	}
}

func TestTheLongerOfTwoSecretsIsMaskedWhole(t *testing.T) {
	r := newRegistry()
	r.add("planted")
	r.add("planted-and-longer")
	if got := r.mask("x planted-and-longer y"); got != "x <secret> y" {
		t.Errorf("masked as %q", got)
	}
}

// FuzzNoSecretPassesTheMask plants a secret where servers, drivers and logs put one, and reads what is printed.
func FuzzNoSecretPassesTheMask(f *testing.F) {
	for _, seed := range []string{"hunter2-plain", `quo"ted\secret`, "half/other@tcp", "spaces in it", "új-jelszó", "100%25-&=+#", "line\nbreak", "<b>&amp;", "\x00\xff binary"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) < minKnown || strings.Contains(mask, text) {
			t.Skip("too short, or the mask itself")
		}
		r := newRegistry()
		r.add(text)
		var out strings.Builder
		quoted, err := json.Marshal(map[string]string{"password": text})
		if err != nil {
			t.Fatal(err)
		}
		words := []string{
			text, "ERR unknown command 'AUTH' '" + text + "'", fmt.Sprintf("%q", text), string(quoted),
			"https://host/?token=" + url.QueryEscape(text), "https://host/" + url.PathEscape(text), "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(text)),
		}
		masking := writer{&out, r.mask}
		for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(masking, nil)), slog.New(slog.NewJSONHandler(masking, nil))} {
			for _, w := range words {
				log.Error("failed", "err", errors.New(w), "value", New(text))
			}
		}
		for _, w := range words {
			out.WriteString(r.mask(w) + "\n")
		}
		for _, printed := range strings.Split(out.String(), mask) {
			for _, form := range forms(text) {
				if strings.Contains(printed, form) {
					t.Errorf("%q is printed:\n%s", form, out.String())
				}
			}
		}
	})
}

// BenchmarkMask masks a line of the log of an exporter with a thousand shops, whose tokens begin alike.
func BenchmarkMask(b *testing.B) {
	r := newRegistry()
	for i := range 1000 {
		r.add(fmt.Sprintf("shpat_%032x", i))
	}
	line := `time=2026-11-30T10:00:00.000Z level=WARN source=scheduler.go:120 msg="collection failed" collector=shopify target=north reason=auth err="shop: 401 Unauthorized: invalid token shpat_000000000000000000000000000003e7"`
	for b.Loop() {
		r.mask(line)
	}
}

// BenchmarkAdd adds a token to those of a thousand shops.
func BenchmarkAdd(b *testing.B) {
	r := newRegistry()
	for i := range 1000 {
		r.add(fmt.Sprintf("shpat_%032x", i))
	}
	i := 1000
	for b.Loop() {
		r.add(fmt.Sprintf("shpat_%032x", i))
		i++
	}
}
