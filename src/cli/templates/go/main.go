// my-plugin: greets the service and the client by a header, and closes paths.
// One export for each phase of plugin.yaml.
package main

import (
	"strings"

	gatehouse "gatehouse.example/sdk/go"
)

type config struct {
	Greeting string   `json:"greeting"`
	Closed   []string `json:"closed"`
}

// Nothing runs here: the gateway calls the exports.
func main() {}

//go:wasmexport access
func access() int32 { return gatehouse.Run(onAccess) }

//go:wasmexport header_filter
func headerFilter() int32 { return gatehouse.Run(onHeaderFilter) }

func onAccess(call *gatehouse.Call) (*gatehouse.Answer, error) {
	var config config
	if err := call.ReadConfig(&config); err != nil {
		return nil, err
	}
	for _, closed := range config.Closed {
		if !strings.HasPrefix(call.Request.Path, closed) {
			continue
		}
		gatehouse.Log(gatehouse.Info, "closed: "+call.Request.Path)
		reply, err := gatehouse.ReplyJSON(403, map[string]string{"message": "This path is closed"})
		return &gatehouse.Answer{Reply: reply}, err
	}
	answer := gatehouse.Answer{}
	answer.Request.Set("X-Greeting", config.Greeting)
	return &answer, nil
}

func onHeaderFilter(call *gatehouse.Call) (*gatehouse.Answer, error) {
	var config config
	if err := call.ReadConfig(&config); err != nil {
		return nil, err
	}
	answer := gatehouse.Answer{}
	answer.Response.Set("X-Greeting", config.Greeting)
	return &answer, nil
}
