// Package webhook switches machines through any web service that takes a small JSON
// request: a home-made power controller, an automation server, another tool's API.
//
//	d := driver.Driver{Title: "pxe_webhook", Power: webhook.New(webhook.Config{}), Boot: b, Deploy: d}
//
// The service is at driver_info.webhook_url. It is asked with GET and told with POST:
//
//	GET  URL  ->  200 {"power_state": "power on"}
//	POST URL  {"node": "UUID", "name": "n1", "target": "power off"}  ->  200, 202 or 204
//
// The states are "power on" and "power off", Ironic's own; a reboot is one after the
// other. A POST may answer before the machine has obeyed: the state is asked for
// until it is there. With driver_info.webhook_token each request has it as a bearer
// token. Redirects are not followed, so that the token goes to nobody else.
package webhook
