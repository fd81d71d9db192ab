package eventtest

// Lines are samples as the text format writes them: a series, and its value.
type Lines map[string]float64

// Contract holds, for each type of event of the contract's section 1, what one such event adds.
var Contract = []struct {
	Name, Type, Data string
	Want             Lines
}{
	{"request", "consign.api.request", `{"route":"/items/{id}","method":"GET","status":200,"duration_seconds":0.25}`, Lines{
		`consign_api_requests_total{code="200",method="GET",route="/items/{id}"}`: 1,
		`consign_api_request_duration_seconds_count{route="/items/{id}"}`:         1,
		`consign_api_request_duration_seconds_sum{route="/items/{id}"}`:           0.25,
		`consign_client_api_requests_total{client="anna",code_class="2xx"}`:       1,
		`consign_client_api_request_duration_seconds_count{client="anna"}`:        1,
		`consign_client_api_request_duration_seconds_sum{client="anna"}`:          0.25,
	}},
	{"request with a status in another spelling", "consign.api.request", `{"route":"/","method":"POST","status":5.03e2,"duration_seconds":1}`, Lines{
		`consign_api_requests_total{code="503",method="POST",route="/"}`:    1,
		`consign_api_request_duration_seconds_count{route="/"}`:             1,
		`consign_api_request_duration_seconds_sum{route="/"}`:               1,
		`consign_client_api_requests_total{client="anna",code_class="5xx"}`: 1,
		`consign_client_api_request_duration_seconds_count{client="anna"}`:  1,
		`consign_client_api_request_duration_seconds_sum{client="anna"}`:    1,
	}},
	{"query", "consign.db.query", `{"operation":"select","table":"items","outcome":"ok","duration_seconds":0.5}`, Lines{
		`consign_db_queries_total{operation="select",outcome="ok",table="items"}`:   1,
		`consign_db_query_duration_seconds_count{operation="select",table="items"}`: 1,
		`consign_db_query_duration_seconds_sum{operation="select",table="items"}`:   0.5,
	}},
	{"pool", "consign.db.pool", `{"pool":"main","in_use":7,"idle":3,"max":20,"waits":0}`, Lines{
		`consign_db_pool_connections{pool="main",state="in_use"}`: 7,
		`consign_db_pool_connections{pool="main",state="idle"}`:   3,
		`consign_db_pool_max_connections{pool="main"}`:            20,
	}},
	{"threads", "consign.worker.threads", `{"pool":"jobs","busy":5,"max":16}`, Lines{
		`consign_worker_threads{pool="jobs",state="busy"}`: 5,
		`consign_worker_threads{pool="jobs",state="idle"}`: 11,
		`consign_worker_max_threads{pool="jobs"}`:          16,
	}},
	{"cache", "consign.cache.operation", `{"operation":"get","result":"miss","duration_seconds":0.0005}`, Lines{
		`consign_cache_operations_total{operation="get",result="miss"}`:   1,
		`consign_cache_operation_duration_seconds_count{operation="get"}`: 1,
		`consign_cache_operation_duration_seconds_sum{operation="get"}`:   0.0005,
	}},
	{"call", "consign.external.call", `{"service":"shopify","operation":"products.list","outcome":"throttled","duration_seconds":2}`, Lines{
		`consign_external_requests_total{operation="products.list",outcome="throttled",service="shopify"}`: 1,
		`consign_external_request_duration_seconds_count{operation="products.list",service="shopify"}`:     1,
		`consign_external_request_duration_seconds_sum{operation="products.list",service="shopify"}`:       2,
		`consign_client_external_requests_total{client="anna",outcome="throttled",service="shopify"}`:      1,
	}},
	{"job", "consign.job.finished", `{"queue":"image","task":"resize","outcome":"retried","attempt":2,"wait_seconds":0.75,"duration_seconds":3}`, Lines{
		`consign_jobs_total{outcome="retried",queue="image",task="resize"}`: 1,
		`consign_job_duration_seconds_count{queue="image",task="resize"}`:   1,
		`consign_job_duration_seconds_sum{queue="image",task="resize"}`:     3,
		`consign_job_wait_duration_seconds_count{queue="image"}`:            1,
		`consign_job_wait_duration_seconds_sum{queue="image"}`:              0.75,
		`consign_client_jobs_total{client="anna",outcome="retried"}`:        1,
		`consign_client_job_seconds_total{client="anna"}`:                   3,
	}},
	{"error that a user saw", "consign.error.raised", `{"category":"business","kind":"validation","component":"api","user_visible":true,"feature":"items.create"}`, Lines{
		`consign_errors_total{category="business",component="api",kind="validation"}`:      1,
		`consign_client_errors_total{category="business",client="anna",kind="validation"}`: 1,
		`consign_user_errors_total{feature="items.create"}`:                                1,
	}},
	{"error that no user saw", "consign.error.raised", `{"category":"system","kind":"queue","component":"worker","user_visible":false}`, Lines{
		`consign_errors_total{category="system",component="worker",kind="queue"}`:   1,
		`consign_client_errors_total{category="system",client="anna",kind="queue"}`: 1,
	}},
	{"recovery", "consign.recovery.attempted", `{"mechanism":"self_heal","component":"sync","outcome":"failed"}`, Lines{
		`consign_recoveries_total{component="sync",mechanism="self_heal",outcome="failed"}`: 1,
	}},
	{"session started", "consign.session.started", `{"role":"consignor"}`, Lines{
		`consign_sessions_started_total{client="anna",role="consignor"}`: 1,
	}},
	{"session ended", "consign.session.ended", `{"role":"consignor","duration_seconds":754.5}`, Lines{
		`consign_sessions_ended_total{client="anna",role="consignor"}`: 1,
		`consign_session_duration_seconds_count{role="consignor"}`:     1,
		`consign_session_duration_seconds_sum{role="consignor"}`:       754.5,
	}},
	{"feature", "consign.feature.used", `{"feature":"search","role":"shopper"}`, Lines{
		`consign_feature_uses_total{feature="search",role="shopper"}`: 1,
		`consign_client_feature_uses_total{client="anna"}`:            1,
	}},
	{"violation", "consign.security.violation", `{"kind":"cross_tenant_access"}`, Lines{
		`consign_security_violations_total{client="anna",kind="cross_tenant_access"}`: 1,
	}},
	{"order", "consign.order.placed", `{"event":"spring","channel":"pos","items":2,"amount_cents":4599,"currency":"USD"}`, Lines{
		`consign_orders_total{channel="pos",client="anna",event="spring"}`:        1,
		`consign_sales_amount_total{client="anna",currency="USD",event="spring"}`: 45.99,
		`consign_order_amount_count{currency="USD"}`:                              1,
		`consign_order_amount_sum{currency="USD"}`:                                45.99,
	}},
	{"order in a currency without cents", "consign.order.placed", `{"event":"spring","channel":"online","items":2,"amount_cents":4599,"currency":"JPY"}`, Lines{
		`consign_orders_total{channel="online",client="anna",event="spring"}`:     1,
		`consign_sales_amount_total{client="anna",currency="JPY",event="spring"}`: 4599,
		`consign_order_amount_count{currency="JPY"}`:                              1,
		`consign_order_amount_sum{currency="JPY"}`:                                4599,
	}},
	{"order in a currency with thousandths", "consign.order.placed", `{"event":"spring","channel":"online","items":2,"amount_cents":1.0e3,"currency":"KWD"}`, Lines{
		`consign_orders_total{channel="online",client="anna",event="spring"}`:     1,
		`consign_sales_amount_total{client="anna",currency="KWD",event="spring"}`: 1,
		`consign_order_amount_count{currency="KWD"}`:                              1,
		`consign_order_amount_sum{currency="KWD"}`:                                1,
	}},
	{"order in a currency that is shown without cents but has them", "consign.order.placed", `{"event":"spring","channel":"online","items":2,"amount_cents":12345,"currency":"PKR"}`, Lines{
		`consign_orders_total{channel="online",client="anna",event="spring"}`:     1,
		`consign_sales_amount_total{client="anna",currency="PKR",event="spring"}`: 123.45,
		`consign_order_amount_count{currency="PKR"}`:                              1,
		`consign_order_amount_sum{currency="PKR"}`:                                123.45,
	}},
	{"refund", "consign.order.refunded", `{"event":"spring","items":1,"amount_cents":1599,"currency":"USD","reason":"damaged"}`, Lines{
		`consign_refunds_total{client="anna",event="spring"}`:                       1,
		`consign_refund_reasons_total{reason="damaged"}`:                            1,
		`consign_refunds_amount_total{client="anna",currency="USD",event="spring"}`: 15.99,
	}},
	{"item listed", "consign.item.listed", `{"event":"spring","category":"toys"}`, Lines{
		`consign_items_listed_total{client="anna",event="spring"}`:      1,
		`consign_category_items_total{category="toys",change="listed"}`: 1,
	}},
	{"item sold", "consign.item.sold", `{"event":"spring","category":"toys","amount_cents":1599,"currency":"USD","markdown":true,"listed_seconds":90000}`, Lines{
		`consign_items_sold_total{client="anna",event="spring",markdown="true"}`: 1,
		`consign_category_items_total{category="toys",change="sold"}`:            1,
		`consign_item_time_to_sell_seconds_count{}`:                              1,
		`consign_item_time_to_sell_seconds_sum{}`:                                90000,
	}},
	{"item returned", "consign.item.returned", `{"event":"spring","category":"toys"}`, Lines{
		`consign_items_returned_total{client="anna",event="spring"}`:      1,
		`consign_category_items_total{category="toys",change="returned"}`: 1,
	}},
	{"item transferred", "consign.item.transferred", `{"event":"spring","category":"toys"}`, Lines{
		`consign_items_transferred_total{client="anna",event="spring"}`:      1,
		`consign_category_items_total{category="toys",change="transferred"}`: 1,
	}},
	{"consignor", "consign.consignor.registered", `{"event":"spring","type":"super","fee_paid":true}`, Lines{
		`consign_consignors_registered_total{client="anna",event="spring",type="super"}`: 1,
	}},
	{"volunteer", "consign.volunteer.signedup", `{"event":"spring","shift":"general_help"}`, Lines{
		`consign_volunteer_signups_total{client="anna",event="spring",shift="general_help"}`: 1,
	}},
	{"volunteer cancelled", "consign.volunteer.cancelled", `{"event":"spring","shift":"general_help"}`, Lines{
		`consign_volunteer_cancellations_total{client="anna",event="spring"}`: 1,
	}},
	{"drop-off scheduled", "consign.dropoff.scheduled", `{"event":"spring"}`, Lines{
		`consign_dropoffs_total{client="anna",event="spring",outcome="scheduled"}`: 1,
	}},
	{"drop-off completed", "consign.dropoff.completed", `{"event":"spring","duration_seconds":540,"items":25}`, Lines{
		`consign_dropoffs_total{client="anna",event="spring",outcome="completed"}`: 1,
		`consign_dropoff_duration_seconds_count{}`:                                 1,
		`consign_dropoff_duration_seconds_sum{}`:                                   540,
	}},
	{"drop-off missed", "consign.dropoff.missed", `{"event":"spring"}`, Lines{
		`consign_dropoffs_total{client="anna",event="spring",outcome="missed"}`: 1,
	}},
	{"webhook received", "consign.webhook.received", `{"provider":"shopify","topic":"orders/create","outcome":"accepted","delay_seconds":1.5}`, Lines{
		`consign_webhooks_received_total{outcome="accepted",provider="shopify",topic="orders/create"}`: 1,
		`consign_webhook_delay_seconds_count{provider="shopify"}`:                                      1,
		`consign_webhook_delay_seconds_sum{provider="shopify"}`:                                        1.5,
		`consign_client_webhooks_received_total{client="anna",outcome="accepted",provider="shopify"}`:  1,
	}},
	{"webhook that seems to arrive before its cause", "consign.webhook.received", `{"provider":"clerk","topic":"user.created","outcome":"duplicate","delay_seconds":-0.25}`, Lines{
		`consign_webhooks_received_total{outcome="duplicate",provider="clerk",topic="user.created"}`: 1,
		`consign_webhook_delay_seconds_count{provider="clerk"}`:                                      1,
		`consign_client_webhooks_received_total{client="anna",outcome="duplicate",provider="clerk"}`: 1,
	}},
	{"webhook processed", "consign.webhook.processed", `{"provider":"mandrill","topic":"hard_bounce","outcome":"failed","duration_seconds":0.5}`, Lines{
		`consign_webhooks_processed_total{outcome="failed",provider="mandrill",topic="hard_bounce"}`: 1,
		`consign_webhook_processing_duration_seconds_count{provider="mandrill"}`:                     1,
		`consign_webhook_processing_duration_seconds_sum{provider="mandrill"}`:                       0.5,
		`consign_client_webhooks_processed_total{client="anna",outcome="failed"}`:                    1,
	}},
	{"order imported", "consign.order.imported", `{"event":"spring","outcome":"succeeded","delay_seconds":2.5}`, Lines{
		`consign_order_imports_total{client="anna",outcome="succeeded"}`: 1,
		`consign_order_import_delay_seconds_count{}`:                     1,
		`consign_order_import_delay_seconds_sum{}`:                       2.5,
	}},
	{"sync", "consign.sync.finished", `{"kind":"products","outcome":"succeeded","items":120,"conflicts":2,"duration_seconds":14}`, Lines{
		`consign_sync_runs_total{client="anna",kind="products",outcome="succeeded"}`: 1,
		`consign_sync_conflicts_total{client="anna",kind="products"}`:                2,
		`consign_sync_duration_seconds_count{kind="products"}`:                       1,
		`consign_sync_duration_seconds_sum{kind="products"}`:                         14,
	}},
	{"authentication", "consign.auth.request", `{"operation":"sign_in","outcome":"denied","duration_seconds":0.125}`, Lines{
		`consign_auth_requests_total{operation="sign_in",outcome="denied"}`:  1,
		`consign_auth_request_duration_seconds_count{operation="sign_in"}`:   1,
		`consign_auth_request_duration_seconds_sum{operation="sign_in"}`:     0.125,
		`consign_client_auth_requests_total{client="anna",outcome="denied"}`: 1,
	}},
	{"token", "consign.auth.token", `{"result":"wrong_tenant"}`, Lines{
		`consign_token_validations_total{result="wrong_tenant"}`: 1,
	}},
	{"mail queued", "consign.email.queued", `{"template":"welcome"}`, Lines{
		`consign_emails_total{outcome="queued",template="welcome"}`:   1,
		`consign_client_emails_total{client="anna",outcome="queued"}`: 1,
	}},
	{"mail sent", "consign.email.sent", `{"template":"welcome","delay_seconds":3}`, Lines{
		`consign_emails_total{outcome="sent",template="welcome"}`:   1,
		`consign_client_emails_total{client="anna",outcome="sent"}`: 1,
		`consign_email_delay_seconds_count{stage="sent"}`:           1,
		`consign_email_delay_seconds_sum{stage="sent"}`:             3,
	}},
	{"mail delivered", "consign.email.delivered", `{"template":"welcome","delay_seconds":9}`, Lines{
		`consign_emails_total{outcome="delivered",template="welcome"}`:   1,
		`consign_client_emails_total{client="anna",outcome="delivered"}`: 1,
		`consign_email_delay_seconds_count{stage="delivered"}`:           1,
		`consign_email_delay_seconds_sum{stage="delivered"}`:             9,
	}},
	{"mail deferred", "consign.email.deferred", `{"template":"welcome"}`, Lines{
		`consign_emails_total{outcome="deferred",template="welcome"}`:   1,
		`consign_client_emails_total{client="anna",outcome="deferred"}`: 1,
	}},
	{"mail bounced hard", "consign.email.bounced", `{"template":"welcome","bounce":"hard"}`, Lines{
		`consign_emails_total{outcome="hard_bounced",template="welcome"}`:   1,
		`consign_client_emails_total{client="anna",outcome="hard_bounced"}`: 1,
	}},
	{"mail bounced softly", "consign.email.bounced", `{"template":"welcome","bounce":"soft"}`, Lines{
		`consign_emails_total{outcome="soft_bounced",template="welcome"}`:   1,
		`consign_client_emails_total{client="anna",outcome="soft_bounced"}`: 1,
	}},
	{"mail rejected", "consign.email.rejected", `{"template":"welcome"}`, Lines{
		`consign_emails_total{outcome="rejected",template="welcome"}`:   1,
		`consign_client_emails_total{client="anna",outcome="rejected"}`: 1,
	}},
	{"mail complained about", "consign.email.complained", `{"template":"welcome"}`, Lines{
		`consign_emails_total{outcome="complained",template="welcome"}`:   1,
		`consign_client_emails_total{client="anna",outcome="complained"}`: 1,
	}},
	{"process started", "consign.process.started", `{"process":"intake"}`, Lines{
		`consign_processes_total{client="anna",outcome="started",process="intake"}`: 1,
	}},
	{"process finished", "consign.process.finished", `{"process":"settlement","outcome":"failed","duration_seconds":3600}`, Lines{
		`consign_processes_total{client="anna",outcome="failed",process="settlement"}`: 1,
		`consign_process_duration_seconds_count{process="settlement"}`:                 1,
		`consign_process_duration_seconds_sum{process="settlement"}`:                   3600,
	}},
	{"process violated", "consign.process.violated", `{"process":"pickup"}`, Lines{
		`consign_processes_total{client="anna",outcome="violated",process="pickup"}`: 1,
	}},
	{"program started", "consign.app.started", `{"component":"api","version":"1.2.3","reason":"deploy"}`, Lines{
		`consign_app_starts_total{component="api"}`: 1,
	}},
	{"program crashed", "consign.app.crashed", `{"component":"worker","version":"1.2.3","reason":"oom"}`, Lines{
		`consign_app_crashes_total{component="worker"}`: 1,
	}},
}
