package netboot

import (
	"maps"
	"slices"

	"github.com/ferrule/ferrule/boot"
	"github.com/ferrule/ferrule/boot/artifact"
	"github.com/ferrule/ferrule/boot/dhcp"
	"github.com/ferrule/ferrule/task"
)

// perNode reports whether each node has loader files of its own: where DHCP
// tells it to fetch those, it is seen to.
func (b *Boot) perNode() bool { return b.site.told() && len(b.family.LoaderFiles) > 0 }

// folder is where the node's loader comes from, "" for the top of the tree.
func (b *Boot) folder(uuid string) string {
	if b.perNode() {
		return uuid
	}
	return ""
}

// loaderFiles returns the loader files for one node.
func (b *Boot) loaderFiles(uuid string) []artifact.Artifact {
	if !b.perNode() {
		return nil
	}
	return loaderArtifacts(uuid+"/", boot.StageLoader, b.family.LoaderFiles)
}

func loaderArtifacts(folder, stage string, files map[string]string) []artifact.Artifact {
	all := make([]artifact.Artifact, 0, len(files))
	for name, file := range files {
		all = append(all, artifact.Artifact{Name: folder + name, Stage: stage, File: file})
	}
	return all
}

// hasLoader reports whether machines can be told to fetch the loader name. One
// of the site's own servers may have any.
func (b *Boot) hasLoader(name string) bool {
	_, ok := b.family.LoaderFiles[name]
	return ok || len(b.family.LoaderFiles) == 0
}

func (b *Boot) loaderNames() []string {
	return slices.Sorted(maps.Keys(b.family.LoaderFiles))
}

// dhcpBoot returns what DHCP is to tell the node.
func (b *Boot) dhcpBoot(uuid string, p *plan) dhcp.Boot {
	folder := b.folder(uuid)
	if folder != "" {
		folder += "/"
	}
	loaders := make(map[dhcp.Client]string, len(b.family.Bootfiles))
	for client, name := range b.family.Bootfiles {
		if p.Loader != "" && client.Firmware == p.info.Mode && (p.arch == "" || client.Firmware == task.BIOS || client.Arch == p.arch) {
			name = p.Loader
		}
		if b.hasLoader(name) {
			loaders[client] = folder + name
		}
	}
	return dhcp.Boot{
		IPv4:     files(b.site.HTTP, b.site.TFTP, loaders, b.family.Script),
		IPv6:     files(b.site.HTTP6, b.site.TFTP6, loaders, b.family.Script),
		Firmware: p.info.Mode,
		Arch:     p.arch,
	}
}
