package dashboardlint

import "testing"

func TestVariablesOfDashboardsAreFilled(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`up{job="$job"}[$__rate_interval]`:              `up{job=".+"}[5m]`,
		`up{job=~"${job:regex}"}`:                       `up{job=~".+"}`,
		`up{job=~'[[job]]', a="x\"$b"}`:                 `up{job=~'.+', a="x\".+"}`,
		`topk($n, up)`:                                  `topk(1, up)`,
		`max_over_time(up[$__range:$__interval])`:       `max_over_time(up[5m:5m])`,
		`up offset ${shift_interval} > ${limit.value}`:  `up offset 5m > 1`,
		`label_replace(up, "a", "$1", "job", "(.+)")`:   `label_replace(up, "a", "$1", "job", "(.+)")`,
		`label_replace(up, "a", "${1}", "job", "(.+)")`: `label_replace(up, "a", "${1}", "job", "(.+)")`,
	} {
		if got, _ := fillVariables(text); got != want {
			t.Errorf("fillVariables(%s) = %s, want %s", text, got, want)
		}
	}
}
