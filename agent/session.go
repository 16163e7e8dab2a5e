package agent

import (
	"path"
	"strings"

	"github.com/ferrule/ferrule/deploy"
	"github.com/ferrule/ferrule/task"
)

// A Session is how one boot of a ramdisk is reached.
type Session struct {
	URL      string      // base URL of its command API, without /v1
	Token    task.Secret // sent with every request; empty sends none
	VerifyCA string      // PEM: exactly this certificate is trusted, whatever its dates and names; empty means the system's roots

	node *task.Node // whose secrets agents repeat in what they say of a failure; may be nil
}

// What a session is in driver_internal_info. The first five are Ironic's.
const (
	keyURL       = "agent_url"
	keyVersion   = "agent_version"
	keyHeartbeat = "agent_last_heartbeat"
	keyVerifyCA  = "agent_verify_ca"
	keyToken     = "agent_secret_token"
	keyStarted   = "agent_started_at"         // by the ramdisk's own word: identifies its boot
	keyCommand   = "agent_command_id"         // of the step that runs
	keyManagers  = "hardware_manager_version" // that the steps were listed with
	keyMismatch  = "agent_step_listed_again"  // the step whose hardware managers were others
	keyRebooting = "agent_step_reboots"       // the step is complete when the ramdisk is up again
)

// sessionOf returns the session that n's ramdisk has announced.
func sessionOf(op string, n *task.Node) (Session, error) {
	info := n.DriverInternalInfo
	s := Session{URL: info.Text(keyURL), Token: task.Secret(info.Text(keyToken)), VerifyCA: info.Text(keyVerifyCA), node: n}
	if s.URL == "" {
		return s, &task.Error{Op: op, Node: n.String(), Field: "driver_internal_info." + keyURL, Err: task.ErrMissingParameter,
			Remedy: "wait for the ramdisk to call"}
	}
	return s, nil
}

// moved says what a heartbeat tells otherwise than an earlier one of the same
// boot did, "" for nothing. An agent keeps its address and its certificate for as
// long as it runs, so whoever comes with others has the token from elsewhere,
// and would be sent the image and the config drive.
func moved(n *task.Node, h deploy.Heartbeat) string {
	known := n.DriverInternalInfo.Text(keyURL)
	certificate, _ := n.DriverInternalInfo[keyVerifyCA].(string)
	switch {
	case known == "":
		return ""
	case strings.HasPrefix(known, "https:") && !strings.HasPrefix(h.CallbackURL, "https:"):
		return "callback_url is plain HTTP, and was https earlier in this boot"
	case known != h.CallbackURL:
		return "callback_url is another than earlier in this boot"
	case certificate != h.VerifyCA:
		return "agent_verify_ca is another certificate than earlier in this boot"
	}
	return ""
}

// endSession forgets n's ramdisk: it is about to lose its power, or has.
func endSession(n *task.Node) {
	endBoot(n)
	for _, k := range []string{keyManagers, cacheKey(deploy.CleanSteps), cacheKey(deploy.DeploySteps)} {
		n.SetInternal(k, nil)
	}
}

// endBoot forgets one boot of a ramdisk that a step restarts; the steps that it
// has listed are still to run.
func endBoot(n *task.Node) {
	for _, k := range []string{keyURL, keyVersion, keyHeartbeat, keyVerifyCA, keyToken, keyStarted, keyCommand, keyMismatch, keyRebooting} {
		n.SetInternal(k, nil)
	}
}

// confided returns the secrets that come with write_image: the config drive,
// and what lets anybody fetch it or the image.
func confided(n *task.Node) []string {
	drive := n.InstanceInfo.Text("configdrive")
	secrets := []string{drive, n.InstanceInfo.Text("image_server_password")}
	for _, location := range []string{drive, n.InstanceInfo.Text(imageKey)} {
		if !strings.HasPrefix(location, "http") {
			continue
		}
		if _, query, ok := strings.Cut(location, "?"); ok {
			secrets = append(secrets, "?"+query)
		}
		if _, name, ok := strings.Cut(location, "/"+imagePrefix); ok {
			secrets = append(secrets, path.Base(name))
		}
	}
	return secrets
}

// shownInternal is n's driver_internal_info as a ramdisk may see it; what the
// node keeps of the ramdisk's own steps is no news to it.
func shownInternal(n *task.Node) task.Info {
	info := shown(n.DriverInternalInfo)
	for _, key := range []string{keyToken, cacheKey(deploy.CleanSteps), cacheKey(deploy.DeploySteps)} {
		delete(info, key)
	}
	return info
}

// shown is n's open map as a ramdisk may see it; an agent wants an object where
// there is nothing.
func shown(info task.Info) task.Info {
	if info == nil {
		return task.Info{}
	}
	return info.Redacted()
}

// shownInstance is n's instance_info as a ramdisk may see it. Where the image is
// fetched comes with the command that writes it, to the ramdisk alone: whoever
// knows the URL can read the image.
func shownInstance(n *task.Node) task.Info {
	info := shown(n.InstanceInfo)
	delete(info, imageKey)
	if strings.Contains(info.Text("image_source"), "?") {
		delete(info, "image_source")
	}
	return info
}
