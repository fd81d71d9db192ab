package dashboards

import "fmt"

func datasourceVariable() object {
	return object{
		"name": "datasource", "label": "Data Source", "type": "datasource", "query": "prometheus", "regex": "", "hide": 0,
		"current": object{}, "options": list(), "refresh": 1, "multi": false, "includeAll": false,
	}
}

// variable is a query variable: its label, its query, and the value of All.
type variable struct{ label, query, all string }

// variablesByName are the variables besides the data source. Each allows several values, or All: for client, All is
// every client but not _platform.
func variablesByName() map[string]variable {
	return map[string]variable{
		"client":   {"Client", "label_values(consign_client_info, client)", "[^_].*"},
		"event":    {"Sale event", `label_values(consign_event_info{client=~"$client"}, event)`, ".+"},
		"instance": {"Host", "label_values(node_boot_time_seconds, instance)", ".+"},
	}
}

func queryVariable(name string) object {
	v, known := variablesByName()[name]
	if !known {
		panic(fmt.Sprintf("there is no variable %q", name)) // a mistake in a declaration, which every test of the package finds
	}
	return object{
		"name": name, "label": v.label, "type": "query", "datasource": datasource(), "definition": v.query,
		"query": object{"qryType": 1, "query": v.query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
		"regex": "", "sort": 1, "refresh": 2, "hide": 0, "multi": true, "includeAll": true, "allValue": v.all,
		"current": object{"selected": true, "text": list("All"), "value": list("$__all")}, "options": list(),
	}
}
