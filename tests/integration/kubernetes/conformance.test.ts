import { platformConformance } from "../../../src/platforms/conformance.ts";
import { applyWorkload, openPlatform, planeForFile, workloadPath } from "./workload.ts";

const plane = planeForFile();
let count = 0;

const subject = (kind: "Deployment" | "StatefulSet") => ({
  pools: ["default"],
  make: async () => {
    const name = `conformance-${++count}`;
    await applyWorkload(plane(), name, { kind });
    const { platform } = await openPlatform(plane(), name, { target: { apiVersion: "apps/v1", kind, name } });
    const cleanUp = async () => {
      await platform.close("leave");
      await plane().admin.ask({ method: "DELETE", path: workloadPath(name, kind) });
    };
    return { platform, cleanUp };
  },
});

platformConformance("kubernetes, a Deployment", subject("Deployment"));
platformConformance("kubernetes, a StatefulSet", {
  ...subject("StatefulSet"),
  skip: { "marks the named victims first": "a StatefulSet always deletes its highest ordinal" },
});
