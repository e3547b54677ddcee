// What web/js uses of ComfyUI's front end, for `tsc` alone. No page loads this file, and no archive for users holds it.

type ComfyId = number | string;

interface ComfyLink {
  origin_id: ComfyId;
  origin_slot: number;
  target_id: ComfyId;
  target_slot: number;
  type: string;
  resolve?(graph: ComfyGraph | null): { outputNode?: ComfyNode };
}

interface ComfyInput {
  name: string;
  type: string;
  link: ComfyId | null;
  label?: string;
  localized_name?: string;
  /** of an input that is a widget, too */
  widget?: { name: string };
}

interface ComfyOutput {
  type: string;
  links: ComfyId[] | null;
}

interface ComfyWidget {
  name: string;
  value: any;
  label?: string;
  serialize?: boolean;
  /** whether it is shown only where the node shows advanced ones */
  advanced?: boolean;
  /** the room that it takes on the canvas: of a DOM widget the first, of all others the second */
  computeLayoutSize?(...values: any[]): { minHeight: number; maxHeight?: number; minWidth: number };
  computeSize?(...values: any[]): number[];
  options?: { serialize?: boolean; advanced?: boolean };
  /** of a DOM widget */
  element?: HTMLElement;
  callback?(...values: any[]): unknown;
  serializeValue?(...values: any[]): unknown;
  onRemove?(): void;
}

/** What following a link backwards needs of the node that it ends at. */
interface ComfyLinkEnd {
  id?: ComfyId;
  graph: ComfyGraph | null;
  subgraph?: ComfySubgraph;
  inputs?: ComfyInput[];
  getInputLink?(slot: number): ComfyLink | null | undefined;
  getInputNode?(slot: number): ComfyNode | null;
  isInputConnected?(slot: number): boolean;
}

interface ComfyNode extends ComfyLinkEnd {
  id: ComfyId;
  type: string;
  comfyClass?: string;
  title: string;
  /** 2: muted, 4: bypassed */
  mode: number;
  /** of a node of the front end's own, which no server runs */
  isVirtualNode?: boolean;
  pos: [number, number];
  size: [number, number];
  inputs: ComfyInput[];
  outputs: ComfyOutput[];
  widgets?: ComfyWidget[];
  /** whether widgets that few need are shown */
  showAdvanced?: boolean;
  /** whether ComfyUI leaves pictures and videos of its output to the node */
  hideOutputImages?: boolean;
  addDOMWidget(name: string, type: string, element: HTMLElement, options: object): ComfyWidget;
  computeSize(): [number, number];
  removeWidget(widget: ComfyWidget): void;
  connect(output: number, node: ComfyNode, input: number): unknown;
  setDirtyCanvas(foreground: boolean, background: boolean): void;
  setSize(size: [number, number]): void;
  /** draws previews and results in LiteGraph */
  onDrawBackground?(...values: any[]): void;
  onConfigure?(...values: any[]): void;
  onConnectionsChange?(...values: any[]): void;
  onResize?(size: [number, number]): void;
}

interface ComfyGraph {
  id: ComfyId;
  nodes: ComfyNode[];
  isRootGraph?: boolean;
  rootGraph?: ComfyGraph;
  links?: Map<ComfyId, ComfyLink>;
  /** of the root graph, by their ids */
  subgraphs?: Map<string, ComfySubgraph>;
  add(node: ComfyNode): unknown;
  getLink(id: ComfyId): ComfyLink | null | undefined;
  getNodeById(id: ComfyId): ComfyNode | null | undefined;
  setDirtyCanvas(foreground: boolean, background: boolean): void;
}

interface ComfySubgraph extends ComfyGraph {
  inputs?: { linkIds: ComfyId[] }[];
  outputNode?: { slots: { linkIds: ComfyId[] }[] };
}

/** Hooks of an extension, called by the front end. */
interface ComfyExtension {
  name: string;
  setup?(): void;
  beforeRegisterNodeDef?(nodeType: unknown, nodeDef: any): void;
  nodeCreated?(node: ComfyNode): void;
  beforeConfigureGraph?(graph: any): void;
  afterConfigureGraph?(): void;
  onNodeOutputsUpdated?(outputs: Record<string, any>): void;
}

interface ComfyApp {
  graph: ComfyGraph;
  canvas: {
    emitBeforeChange(): void;
    emitAfterChange(): void;
    processMouseWheel(event: WheelEvent): void;
  };
  extensionManager: {
    dialog: { prompt(options: { title: string; message: string; defaultValue: string }): Promise<string | null> };
    setting: { get(id: string): any };
    toast: { add(message: { severity: string; summary: string; detail: string; life: number }): void };
  };
  graphToPrompt(): Promise<{ output: Record<string, any>; workflow: object }>;
  registerExtension(extension: ComfyExtension): void;
}

interface ComfyApi {
  addEventListener(name: string, listener: (event: CustomEvent) => void): void;
  apiURL(path: string): string;
  dispatchEvent(event: CustomEvent): boolean;
  queuePrompt(place: number, prompt: { output: object; workflow: object }): Promise<unknown>;
  fetchApi(path: string, options?: RequestInit): Promise<Response>;
}

interface Window {
  LiteGraph: { createNode(type: string): ComfyNode; vueNodesMode?: boolean };
}

declare module "*/scripts/app.js" {
  export const app: ComfyApp;
}

declare module "*/scripts/api.js" {
  export const api: ComfyApi;
}
