package shopify

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/consignwatch/consignwatch/pkg/secret"
)

func TestErrorsAreReadInAllTheirShapes(t *testing.T) {
	t.Parallel()
	type read struct {
		Text    string
		Outcome outcome
	}
	for name, c := range map[string]struct {
		body string
		want read
	}{
		"a string":            {`{"errors":"[API] Invalid API key"}`, read{"[API] Invalid API key", outcomeOther}},
		"an object":           {`{"errors":{"query":"Required parameter missing"}}`, read{`{"query":"Required parameter missing"}`, outcomeOther}},
		"throttled":           {`{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}]}`, read{"Throttled (THROTTLED)", outcomeThrottled}},
		"no code":             {`{"errors":[{"message":"syntax error"}]}`, read{"syntax error", outcomeOther}},
		"a code with no name": {`{"errors":[{"message":"x","extensions":{"code":"undefinedField"}}]}`, read{"x (undefinedField)", outcomeOther}},
		"strings in a list":   {`{"errors":["a","b"]}`, read{`["a","b"]`, outcomeOther}},
		"the code is no text": {`{"errors":[{"message":"x","extensions":{"code":7}}]}`, read{`[{"message":"x","extensions":{"code":7}}]`, outcomeOther}},
		"several, one throttled": {`{"errors":[{"message":"a"},{"message":"b","extensions":{"code":"ACCESS_DENIED"}},{"message":"c","extensions":{"code":"THROTTLED"}}]}`,
			read{"a; b (ACCESS_DENIED); c (THROTTLED)", outcomeThrottled}},
		"none":       {`{"data":{}}`, read{"", outcomeOK}},
		"null":       {`{"errors":null}`, read{"", outcomeOK}},
		"empty list": {`{"errors":[]}`, read{"", outcomeOK}},
	} {
		t.Run(name, func(t *testing.T) {
			var e envelope
			if err := json.Unmarshal([]byte(c.body), &e); err != nil {
				t.Fatal(err)
			}
			got := read{e.Errors.String(), outcomeOK}
			if len(e.Errors) > 0 {
				got.Outcome = e.Errors.outcome()
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNumbersOfResourcesAreReadAsTextAndAsNumber(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]resourceID{`"820982911946154508"`: 820982911946154508, `18446744073709551615`: 18446744073709551615} {
		var got resourceID
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{`"gid://shopify/Order/1"`, `-1`, `1.5`, `null`, `""`} {
		var got resourceID
		if err := json.Unmarshal([]byte(text), &got); err == nil {
			t.Errorf("%s was read as %d", text, got)
		}
	}
}

func TestAnExcerptIsShortPrintableAndWithoutSecrets(t *testing.T) {
	t.Parallel()
	s := &shop{tokens: &tokenSource{}}
	s.tokens.clientSecret = secret.New("marked-secret")
	s.tokens.current = accessToken{value: secret.New("marked-token")}
	for name, text := range map[string]string{
		"secrets":         "a marked-secret and a marked-token",
		"across the edge": strings.Repeat("x", maxExcerpt-5) + "marked-token",
		"control signs":   "line\nline\x1b[31m\x00",
		"long":            strings.Repeat("ü", 10_000),
		"not UTF-8":       strings.Repeat("\xff", 1000),
	} {
		got := s.excerpt([]byte(text))
		if strings.Contains(got, "marked") || strings.ContainsAny(got, "\n\x1b\x00") || len(got) > 5*maxExcerpt {
			t.Errorf("%s: %d bytes: %s", name, len(got), got)
		}
	}
}

func TestAListThatLeadsNowhereIsNotFollowed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		page pageInfo
		n    int
		ok   bool
	}{
		"the last page":      {pageInfo{false, "b"}, 3, true},
		"the last and empty": {pageInfo{false, ""}, 0, true},
		"another one":        {pageInfo{true, "b"}, 3, true},
		"the same again":     {pageInfo{true, "a"}, 3, false},
		"no place":           {pageInfo{true, ""}, 3, false},
		"empty, and another": {pageInfo{true, "b"}, 0, false},
	} {
		if err := c.page.checkNext("a", c.n); (err == nil) != c.ok || mustRestart(err) == c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
