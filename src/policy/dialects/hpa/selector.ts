import type { LabelSelector, Pod } from "./words.ts";

interface Requirement {
  readonly key: string;
  readonly operator: "in" | "notin" | "exists" | "absent";
  readonly values: readonly string[];
}

const KEY = "[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?";
const TERM = new RegExp(
  `^\\s*(?:(?<absent>!)\\s*(?<missing>${KEY})|(?<key>${KEY})\\s*(?:(?<equal>==?|!=)\\s*(?<value>[A-Za-z0-9._-]*)|\\s(?<set>in|notin)\\s*\\((?<values>[^()]*)\\))?)\\s*$`,
);

/** A selector as `/scale` prints it, such as `app=llm,tier in (a,b)`. @returns `null` for text that is not one. */
export function parseSelector(text: string): readonly Requirement[] | null {
  const requirements: Requirement[] = [];
  for (const term of text.split(/,(?![^(]*\))/)) {
    const found = TERM.exec(term)?.groups;
    if (found === undefined) return null;
    const { missing, key, equal, value, set, values } = found;
    if (missing !== undefined) requirements.push({ key: missing, operator: "absent", values: [] });
    else if (key !== undefined && equal !== undefined) {
      requirements.push({ key, operator: equal === "!=" ? "notin" : "in", values: [value ?? ""] });
    } else if (key !== undefined && set !== undefined) {
      requirements.push({ key, operator: set === "in" ? "in" : "notin", values: (values ?? "").split(",").map((entry) => entry.trim()) });
    } else if (key !== undefined) requirements.push({ key, operator: "exists", values: [] });
  }
  return requirements;
}

function matches(requirements: readonly Requirement[], labels: Readonly<Record<string, string>>): boolean {
  return requirements.every(({ key, operator, values }) => {
    const label = Object.hasOwn(labels, key) ? labels[key] : undefined;
    if (operator === "exists") return label !== undefined;
    if (operator === "absent") return label === undefined;
    const isListed = label !== undefined && values.includes(label);
    return operator === "in" ? isListed : !isListed;
  });
}

/** Whether a metric's labels pass its selector; without one, all do. */
export function labelsPass(selector: LabelSelector | null, labels: Readonly<Record<string, string>>): boolean {
  if (selector === null) return true;
  const operators: Readonly<Record<string, Requirement["operator"]>> = {
    In: "in",
    NotIn: "notin",
    Exists: "exists",
    DoesNotExist: "absent",
  };
  return matches(
    [
      ...Object.entries(selector.matchLabels).map(([key, value]) => ({ key, operator: "in" as const, values: [value] })),
      ...selector.matchExpressions.map(({ key, operator, values }) => ({ key, operator: operators[operator] ?? "exists", values })),
    ],
    labels,
  );
}

/** The pods that count, or why the selector is of no use. */
export type Selection =
  | { readonly kind: "selected"; readonly pods: readonly Pod[] }
  | { readonly kind: "InvalidSelector" | "AmbiguousSelector"; readonly message: string };

/** Ambiguity is judged on the pods that are there: two selectors that hit the same pod, however they are written. */
export function selectPods(
  selector: string,
  pods: readonly Pod[],
  others: readonly { readonly name: string; readonly selector: string }[],
): Selection {
  if (selector.trim() === "") return { kind: "InvalidSelector", message: "selector is required" };
  const requirements = parseSelector(selector);
  if (requirements === null) return { kind: "InvalidSelector", message: `couldn't convert selector "${selector}" into one of labels` };
  const selected = pods.filter((pod) => matches(requirements, pod.labels));
  const rivals = others.filter((other) => {
    const theirs = other.selector.trim() === "" ? null : parseSelector(other.selector);
    return theirs !== null && selected.some((pod) => matches(theirs, pod.labels));
  });
  if (rivals.length > 0) {
    const names = rivals.map(({ name }) => name).join(", ");
    return { kind: "AmbiguousSelector", message: `pods by selector ${selector} are also scaled by ${names}` };
  }
  return { kind: "selected", pods: selected };
}
