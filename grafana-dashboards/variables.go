package dashboards

import "fmt"

func datasourceVariable() object {
	return object{
		"name": "datasource", "label": "Data Source", "type": "datasource", "query": "prometheus", "regex": "", "hide": 0,
		"current": object{}, "options": list(), "refresh": 1, "multi": false, "includeAll": false,
	}
}

// asked says where the values of a variable come from: its label, a query, and what All means.
type asked struct{ label, query, all string }

// variables are all that dashboards have besides the data source. Each can have several values, or All: for clients
// everything but _platform, which is no client.
func variables() map[string]asked {
	return map[string]asked{
		"client":   {"Client", "label_values(consign_client_info, client)", "[^_].*"},
		"event":    {"Sale event", `label_values(consign_event_info{client=~"$client"}, event)`, ".+"},
		"instance": {"Host", "label_values(node_boot_time_seconds, instance)", ".+"},
	}
}

func queryVariable(name string) object {
	v, known := variables()[name]
	if !known {
		panic(fmt.Sprintf("there is no variable %q", name)) // a mistake in a declaration, which every test sees
	}
	return object{
		"name": name, "label": v.label, "type": "query", "datasource": source(), "definition": v.query,
		"query": object{"qryType": 1, "query": v.query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
		"regex": "", "sort": 1, "refresh": 2, "hide": 0, "multi": true, "includeAll": true, "allValue": v.all,
		"current": object{"selected": true, "text": list("All"), "value": list("$__all")}, "options": list(),
	}
}
