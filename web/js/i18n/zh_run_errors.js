// @ts-check
// Chinese of the errors of settings and runs, by the English sentence. {0}, {1} ... are the places of values.

/** @type {Record<string, string>} */
export const RUN_ERRORS = {
  // memflow_core/config/fit.py
  "memory window_frames is {0}, but one chunk has {1} latent frames and must fit into the window.":
    "记忆的 window_frames 为 {0}，但一块有 {1} 个潜空间帧，必须放得进窗口。",
  "keys are to be refreshed before every chunk, which needs relative positions and another memory retrieval than 'reference': set both, or choose a profile without a refresh.":
    "每块之前都要刷新键值，这需要相对位置和 'reference' 以外的检索方式：请设置这两项，或选择不刷新的模型配置。",
  "memory bank_layers names layer {0}, but the model has layers 0 to {1}.":
    "记忆的 bank_layers 写了第 {0} 层，但模型只有第 0 到 {1} 层。",
  "memory retrieval 'shots' keeps whole chunks of {0} latent frames: set bank_frames to {1}, and window_frames and sink_frames, which are {2} and {3}, to multiples of it.":
    "检索方式 'shots' 保留 {0} 个潜空间帧的整块：请把 bank_frames 设为 {1}，并把 window_frames 和 sink_frames（现为 {2} 和 {3}）设为它的倍数。",
  // memflow_core/config/memory.py
  "sink, window and bank hold {0} latent frames, but must stay within {1}.": "sink、窗口和记忆库共 {0} 个潜空间帧，但不能超过 {1} 个。",
  "memory cache is {0}, but retrieval 'reference' stands for the published code's very numbers: choose another retrieval, or cache 'model'.":
    "记忆的 cache 为 {0}，但检索方式 'reference' 要得到官方代码的同样数值：请选择别的检索方式，或 cache 'model'。",
  "memory sink_decay is {0}, but must be from 0 to 1.": "记忆的 sink_decay 为 {0}，但必须在 0 到 1 之间。",
  "memory sink is 'average', which needs at least one sink frame, relative positions, and another retrieval than 'reference': set these, or sink 'first'.":
    "记忆的 sink 为 'average'，它需要至少一个 sink 帧、相对位置，以及 'reference' 以外的检索方式：请设置这些，或用 sink 'first'。",
  "memory bank_keys is 'alone', but retrieval 'reference' stands for the published code's very numbers: choose another retrieval, or bank_keys 'made'.":
    "记忆的 bank_keys 为 'alone'，但检索方式 'reference' 要得到官方代码的同样数值：请选择别的检索方式，或 bank_keys 'made'。",
  "memory retrieval 'shots' keeps the first chunk of a shot as it was made, all its frames together, but bank_keys is {0} and archive is {1}: set bank_keys to 'made' and archive to 'off', or choose another retrieval.":
    "检索方式 'shots' 按生成时的样子保留镜头的第一块，所有帧在一起，但 bank_keys 为 {0}，archive 为 {1}：请把 bank_keys 设为 'made'，archive 设为 'off'，或选择别的检索方式。",
  "memory archive is 'latents', whose frames come back by reading them alone, but bank_keys is {0}: set bank_keys to 'alone', or archive to 'keys' or 'off'.":
    "记忆的 archive 为 'latents'，其帧通过单独读取取回，但 bank_keys 为 {0}：请把 bank_keys 设为 'alone'，或把 archive 设为 'keys' 或 'off'。",
  "memory archive is 'keys', which keeps keys as they were made, but bank_keys is {0}: set bank_keys to 'made', or archive to 'latents'.":
    "记忆的 archive 为 'keys'，它按生成时的样子保留键值，但 bank_keys 为 {0}：请把 bank_keys 设为 'made'，或把 archive 设为 'latents'。",
  "memory archive_gb is {0}, but must be above 0, at most {1}.": "记忆的 archive_gb 为 {0}，但必须大于 0，最多 {1}。",
  "memory archive is {0}, but there is no bank to recall frames into: make bank_frames at least 1 with a retrieval other than 'none', or set archive to 'off'.":
    "记忆的 archive 为 {0}，但没有可取回帧的记忆库：请把 bank_frames 设为至少 1，并用 'none' 以外的检索方式，或把 archive 设为 'off'。",
  "memory bank_keys is 'alone', but there is no bank whose frames could be read so: make bank_frames at least 1 with a retrieval other than 'none', or set bank_keys to 'made'.":
    "记忆的 bank_keys 为 'alone'，但没有可这样读取帧的记忆库：请把 bank_frames 设为至少 1，并用 'none' 以外的检索方式，或把 bank_keys 设为 'made'。",
  "memory archive_rule is {0}, but archive is 'off', so there is nothing to choose from: set archive to 'latents' or 'keys', or archive_rule to {1}.":
    "记忆的 archive_rule 为 {0}，但 archive 为 'off'，没有可选的内容：请把 archive 设为 'latents' 或 'keys'，或把 archive_rule 设为 {1}。",
  "memory archive_gb is {0}, but archive is {1}, which keeps no keys: set archive to 'keys', or archive_gb to {2}.":
    "记忆的 archive_gb 为 {0}，但 archive 为 {1}，它不保留键值：请把 archive 设为 'keys'，或把 archive_gb 设为 {2}。",
  "memory admission is {0}, but retrieval {1} has rules of its own, or no bank: set admission to 'clock', or choose another retrieval.":
    "记忆的 admission 为 {0}，但检索方式 {1} 有自己的规则，或没有记忆库：请把 admission 设为 'clock'，或选择别的检索方式。",
  "memory look_ahead is {0}, but must be True or False.": "记忆的 look_ahead 为 {0}，但必须是 True 或 False。",
  "memory look_ahead is on, but retrieval {0} does not choose by prompts: choose 'prompt' or 'similarity', or set look_ahead to False.":
    "记忆的 look_ahead 已开启，但检索方式 {0} 不按提示词选择：请选择 'prompt' 或 'similarity'，或把 look_ahead 设为 False。",
  "memory bank_layers is {0}, but must name each layer once, in order.": "记忆的 bank_layers 为 {0}，但必须按顺序列出各层，每层一次。",
  "memory bank_layers is {0}, so that no layer reads a bank: name at least one, with a bank of at least 1 frame, or choose retrieval 'none'.":
    "记忆的 bank_layers 为 {0}，这样没有任何层读取记忆库：请至少写一层，并让记忆库至少有 1 帧，或选择检索方式 'none'。",
  "memory bank_layers is given, but retrieval 'reference' stands for the published code's very numbers: choose another retrieval, or leave it out.":
    "设置了记忆的 bank_layers，但检索方式 'reference' 要得到官方代码的同样数值：请选择别的检索方式，或去掉它。",
  "memory top_k is {0}, but sink + bank hold only {1} latent frames: use at most {2}, or None to read them all.":
    "记忆的 top_k 为 {0}，但 sink 加记忆库只有 {1} 个潜空间帧：请最多用 {2}，或用 None 全部读取。",
  "pins need a bank that can hold them, but retrieval is {0}: choose another policy.":
    "固定点需要能容纳它们的记忆库，但检索方式为 {0}：请选择别的检索方式。",
  "{0} latent frames are pinned, but the bank holds {1}.": "固定了 {0} 个潜空间帧，但记忆库只能容纳 {1} 个。",
  "absolute positions reach {0} latent frames (about 256 s), but the stream has {1}: choose relative or auto.":
    "绝对位置最多到 {0} 个潜空间帧（约 256 秒），但此故事有 {1} 个：请选择 relative 或 auto。",
  "memory {0} is {1}, but must be one of {2}.": "记忆的 {0} 为 {1}，但必须是 {2} 之一。",
  // memflow_core/config/require.py
  "{0} is {1}, but must be {2}.": "{0} 为 {1}，但必须是{2}。",
  // memflow_core/config/sampling.py
  "blend path is {0}, but must be one of {1}.": "blend 的路径为 {0}，但必须是 {1} 之一。",
  "the step list is empty: give at least one denoising step, for example 1000.": "去噪步为空：请至少写一步，例如 1000。",
  "solver is {0}, but must be one of {1}.": "solver 为 {0}，但必须是 {1} 之一。",
  "shift is {0}, but must be above 0.": "shift 为 {0}，但必须大于 0。",
  "context_noise is {0}, but must be from 0 to below 1000.": "context_noise 为 {0}，但必须从 0 起且小于 1000。",
  "denoising steps {0} must fall from noise to picture, for example 1000, 750, 500, 250.":
    "去噪步 {0} 必须从噪声到画面递减，例如 1000, 750, 500, 250。",
  // memflow_core/config/sizes.py
  "model dim {0} cannot be split into {1} heads of even width.": "模型的 dim {0} 无法分成 {1} 个宽度为偶数的头。",
  "model freq_dim is {0}, but must be even.": "模型的 freq_dim 为 {0}，但必须是偶数。",
  "the batch is {0}, but must be at least 1.": "批量为 {0}，但必须至少为 1。",
  "the picture is {0} x {1} pixels, but both must be multiples of {2}.": "画面为 {0} x {1} 像素，但两者都必须是 {2} 的倍数。",
  "the picture {0} is {1} pixels, but must be a multiple of {2}, at least {3}.":
    "画面的 {0} 为 {1} 像素，但必须是 {2} 的倍数，至少 {3}。",
  // memflow_core/profiles/pick.py
  "{0} is {1}: load weights that were trained to stream, such as MemFlow's or LongLive's.":
    "{0} 是 {1}：请加载为流式生成训练的权重，例如 MemFlow 或 LongLive 的。",
  "{0} is a Wan model that sees a whole clip at once, by its name, and was not trained to stream: load streaming weights (MemFlow, LongLive, Self-Forcing, Causal Forcing), or, if these are some under another's name, choose their profile.":
    "从名称看，{0} 是一次处理整段视频的 Wan 模型，没有为流式生成训练：请加载流式权重（MemFlow、LongLive、Self-Forcing、Causal Forcing）；若它其实就是这样的权重而用了别的名称，请选择它的配置。",
  "the profile {0} is for models of {1} latent channels, but this one has {2}: choose another profile, or {3}.":
    "配置 {0} 用于有 {1} 个潜空间通道的模型，但此模型有 {2} 个：请选择别的配置，或 {3}。",
  "the profile is {0}, but must be one of {1}.": "配置为 {0}，但必须是 {1} 之一。",
  // memflow_core/play/encoded_schedule.py
  "the schedule has {0} segments, its plan {1}, and there are {2} embeddings: each segment needs its place and its embedding.":
    "调度有 {0} 个分段，其计划有 {1} 个，而文本编码有 {2} 个：每个分段都需要它的位置和编码。",
  "the prompt {0} asks for LoRA {1}, but its weights are the model's own: give weights by name, as MemFlow Prompt Schedule does, or take [{2}] out.":
    "提示词 {0} 要求 LoRA {1}，但它的权重是模型自己的：请像 MemFlow 提示词调度那样按名称给出权重，或去掉 [{2}]。",
  // memflow_core/play/live.py
  "this story is at its end: it takes no more changes.": "故事已到结尾：不再接受更改。",
  "this story cannot read new prompts: connect a CLIP to the sampler's clip input.":
    "此故事无法读取新的提示词：请把 CLIP 接到采样器的 CLIP 输入。",
  "{0} prompts wait for the next chunk already: ask again after it.": "已有 {0} 条提示词在等待下一块：请在它之后再试。",
  "the prompt is asked for at {0}, but the story ends at {1} s: name an earlier time.":
    "提示词要求在 {0} 开始，但故事在 {1} 秒结束：请写更早的时间。",
  // memflow_core/play/player.py
  "chunk {0} (prompt {1}) came out with NaN or infinity: the model's weights are damaged, or its precision is too low; chunks before it are kept.":
    "第 {0} 块（提示词 {1}）出现了 NaN 或无穷大：模型权重已损坏，或精度太低；之前的块已保留。",
  // nodes/run/budget.py
  "choose the preset {0}": "请选择预设 {0}",
  "a story that goes on keeps its size, so start it anew, and {0}": "继续的故事大小不变，因此请重新开始，并且{0}",
  "make the picture, or the window and the bank of MemFlow Memory, smaller": "请把画面，或 MemFlow 记忆设置的窗口和记忆库，设小一些",
  "the run needs about {0} of VRAM beside all weights, but ComfyUI can free no more than {1} on this device: {2}.":
    "除所有权重外，运行还需要约 {0} 显存，但 ComfyUI 在此设备上最多只能腾出 {1}：{2}。",
  // nodes/run/control_plan.py
  "a control has strength {0}, but the strength must be from 0 to {1}.": "某个控制的强度为 {0}，但强度必须在 0 到 {1} 之间。",
  "has strength {0}": "强度为 {0}",
  "has a mask": "带有遮罩",
  "a control that is to {0} pictures {1}, but its strength is at most 1 and it takes no mask: choose another use, or change that.":
    "控制的用途是 {0} 画面，{1}，但它的强度最多为 1，且不接受遮罩：请选择别的用途，或修改这些。",
  "a control is connected, but the model has no control weights: put MemFlow Load Control between the loader and the sampler.":
    "接了控制，但模型没有控制权重：请在加载器和采样器之间放一个 MemFlow 加载控制。",
  "a control is connected, but a latent of the model has {0} x {1} pixels: control needs a model of the Wan 2.1 VAE, which is 1.3B or 14B.":
    "接了控制，但模型的一个潜空间像素对应 {0} x {1} 像素：控制需要使用 Wan 2.1 VAE 的模型，即 1.3B 或 14B。",
  "a control is to {0} pictures, but chunks are made in one step, which leaves nothing of them: use at least 2 steps.":
    "控制的用途是 {0} 画面，但每块只用一步生成，画面不会留下任何内容：请至少用 2 步。",
  // nodes/run/controls.py
  "two controls of a story come with different VAEs: connect the same one to both.": "一个故事的两个控制来自不同的 VAE：请给两者接同一个。",
  "a control cannot steer a stream that several ComfyUIs share: use one.": "控制无法引导由多个 ComfyUI 共享的生成：请只用一个。",
  "the control's VAE has {0} latent channels, but the model has {1}: control needs a model of the Wan 2.1 VAE, and that VAE.":
    "控制的 VAE 有 {0} 个潜空间通道，但模型有 {1} 个：控制需要使用 Wan 2.1 VAE 的模型和该 VAE。",
  "a control is to {0} pictures with strength {1}, but of a chunk made in {2} steps that leaves nothing of them: set at least {3}, more steps, or 0 for none.":
    "一个控制要以强度 {1} {0} 画面，但分 {2} 步生成的块不会留下画面的任何内容：请至少设为 {3}、增加步数，或设为 0 表示不用。",
  "the control's mask has shape {0}, but must be [masks, height, width].": "控制的遮罩形状为 {0}，但必须是 [masks, height, width]。",
  "the control's mask holds NaN or infinity: check the node that made it.": "控制的遮罩含有 NaN 或无穷大：请检查生成它的节点。",
  // nodes/run/live.py
  "there is no text encoder.": "没有文本编码器。",
  "its embedding holds NaN or infinity: check the text encoder's weights.": "它的文本编码含有 NaN 或无穷大：请检查文本编码器的权重。",
  // nodes/run/memory_settings.py
  "memory preset is {0}, but must be one of {1}.": "记忆预设为 {0}，但必须是 {1} 之一。",
  "memory bank_layers is {0}, which MemFlow Memory cannot be set to.": "记忆的 bank_layers 为 {0}，MemFlow 记忆设置无法设成这样。",
  "memory archive_gb is {0}, but must be a number from {1} to {2}.": "记忆的 archive_gb 为 {0}，但必须是 {1} 到 {2} 的数字。",
  "memory {0} is {1}, which MemFlow Memory cannot be set to.": "记忆的 {0} 为 {1}，MemFlow 记忆设置无法设成这样。",
  "memory bank_layers is {0}, which names no layers: write {1}, or numbers from 0 and ranges of them, such as 0, 10-19.":
    "记忆的 bank_layers 为 {0}，其中没有写任何层：请写 {1}，或从 0 起的数字及其范围，例如 0, 10-19。",
  // nodes/run/output.py
  "the audio has shape {0}, but must be one clip: [1, channels, samples].": "音频的形状为 {0}，但必须是一段：[1, channels, samples]。",
  "the audio has {0} samples a second, but must have a whole number of them.": "音频每秒有 {0} 个采样，但必须是整数个。",
  "the audio is no sound: connect a node that gives AUDIO, such as Load Audio.": "这不是声音：请接上给出 AUDIO 的节点，例如“加载音频”。",
  // nodes/run/pictures.py
  "{0} pictures are to be remembered, but no bank holds more than {1}: remember fewer.":
    "要记住 {0} 张图像，但没有记忆库能容纳超过 {1} 张：请少记一些。",
  "{0} have shape {1}, but must be [pictures, height, width, 3], at least one.":
    "{0}的形状为 {1}，但必须是 [pictures, height, width, 3]，至少一张。",
  "{0} hold NaN or infinity, which is no colour: check the node that made them.":
    "{0}含有 NaN 或无穷大，不是颜色：请检查生成它们的节点。",
  "the control's pictures": "控制的画面",
  "the pictures": "图像",
  // nodes/run/request.py
  " 0 is for MemFlow Stream to Video, which can go on until you end it.": "0 只用于 MemFlow 流式生成视频，它可以一直进行，直到你结束它。",
  "length is {0} video frames, but must be at least {1}.{2}": "长度为 {0} 个视频帧，但必须至少为 {1}。{2}",
  "the schedule's length is {0}, less than one video frame at {1} fps: make it longer, or take it out.":
    "调度的长度为 {0}，在 {1} fps 下不足一个视频帧：请加长，或去掉它。",
  "the schedule's length is {0}, but the state has {1} s behind it: make the schedule longer, or take its length out.":
    "调度的长度为 {0}，但状态之前已有 {1} 秒：请加长调度，或去掉其长度。",
  "the state's picture is {0} x {1} pixels, but the node asks for {2} x {3}: use the state's size.":
    "状态的画面为 {0} x {1} 像素，但节点要求 {2} x {3}：请使用状态的大小。",
  "the state's chunks have {0} latent frames, but the model's profile ({1}) makes {2}: put MemFlow Model Profile behind the loader, and set chunk_frames to {3}.":
    "状态的块有 {0} 个潜空间帧，但模型的配置（{1}）生成 {2} 个：请在加载器后放 MemFlow 模型配置，并把 chunk_frames 设为 {3}。",
  "the state was made under another profile than the model's ({0}): other steps for the first chunk, another solver, or steps that are not shifted; choose it with MemFlow Model Profile.":
    "状态是用另一种配置生成的，与模型的（{0}）不同：第一块的步数不同、求解器不同，或步数没有移位；请用 MemFlow 模型配置选择它。",
  "the state was made with steps {0} and shift {1}, but the node asks for {2} and {3}: use the state's.":
    "状态是用步数 {0} 和 shift {1} 生成的，但节点要求 {2} 和 {3}：请使用状态的设置。",
  "the state remembers with cache {0}, but the memory node is set to {1}: set it to the state's, or connect none.":
    "状态以 cache {0} 记忆，但记忆节点设为 {1}：请设为状态的值，或不接。",
  "the memory settings differ from those the state was made with: connect the same memory node, or none.":
    "记忆设置与生成状态时的不同：请接同样的记忆节点，或不接。",
  "shift is {0}, but {1} on the model asks for {2}: set both to the same, leave the widget at {3}, or take the node out.":
    "shift 为 {0}，但模型上的 {1} 要求 {2}：请把两者设为相同、把该项保持为 {3}，或去掉那个节点。",
  "the prompt {0} starts at {1} of the story, but length is 0, which leaves open how long that is: set a length, or write its time in seconds.":
    "提示词 {0} 从故事的 {1} 开始，但 length 为 0，故事长度未定：请设置长度，或以秒写它的时间。",
  "the state has {0} s behind it, which is as far as absolute positions reach: begin a new story with a [fresh] prompt and a length, or use relative positions.":
    "状态之前已有 {0} 秒，这已是绝对位置所能到达的最远处：请用 [fresh] 提示词和长度开始新故事，或使用相对位置。",
  // nodes/run/start_state.py
  "the state starts with {0} latent frames, but the model's chunks have {1}: connect the model to MemFlow Start Images too, so that it takes as many pictures as fill whole chunks.":
    "状态以 {0} 个潜空间帧开头，但模型的块有 {1} 个：请把模型也接到 MemFlow 起始图像，让它按整块取图像。",
  "the state's pictures are {0} x {1} pixels, but the node asks for {2} x {3}: use the same width and height.":
    "状态的画面为 {0} x {1} 像素，但节点要求 {2} x {3}：请用相同的宽和高。",
  "the state's pictures have {0} latent channels, but the model has {1}: encode them with the VAE that belongs to the model.":
    "状态的画面有 {0} 个潜空间通道，但模型有 {1} 个：请用属于该模型的 VAE 编码。",
  // nodes/run/state_files.py
  "the file's decoder part belongs to a video of another size: save the state again.": "文件的解码器部分属于另一种大小的视频：请重新保存状态。",
  "the state holds pictures that no sampler has read yet: save the state that comes out of a sampler.":
    "状态含有还没有采样器读过的图像：请保存采样器输出的状态。",
  "the state came from a compact file and no sampler has gone on from it: it has nothing exact to save; choose compact.":
    "状态来自紧凑文件，还没有采样器从它继续：没有可精确保存的内容；请选择 compact。",
  // nodes/run/steps.py
  "denoising steps are {0}, but a chunk starts from noise, at {1}: write timesteps as {2}, or how many steps there are to be, up to {3}.":
    "去噪步为 {0}，但每块从噪声开始，即 {1}：请按 {2} 写时间步，或写步数，最多 {3}。",
  "denoising steps are 0, but a chunk takes at least one: write timesteps as {0}, or a number of steps from 1 to {1}.":
    "去噪步为 0，但每块至少要一步：请按 {0} 写时间步，或写 1 到 {1} 的步数。",
  "denoising steps are {0}, but {1} is no whole number: write them as {2}.": "去噪步为 {0}，但 {1} 不是整数：请写成 {2}。",
  // nodes/run/takes.py
  "there is no such take of this story any more: look at the list again.": "此故事已没有这个版本：请重新查看列表。",
  "this take's pictures are not kept in the node's format: it shows its first frames.": "此版本的画面不是以该节点的格式保留的：它只显示第一帧。",
  // nodes/host/loras.py
  "did you mean {0}?": "你是指 {0} 吗？",
  "there are {0}{1}.": "现有 {0}{1}。",
  "there is no LoRA {0} in models/loras: {1}": "models/loras 中没有 LoRA {0}：{1}",
  "there is no LoRA {0}: models/loras is empty, so put its file there.": "没有 LoRA {0}：models/loras 是空的，请把文件放进去。",
  "{0} may be any of {1}: write the LoRA's name with its folder.": "{0} 可能是 {1} 中的任何一个：请写带文件夹的 LoRA 名称。",
  "{0} cannot be read as a LoRA: {1}": "{0} 无法作为 LoRA 读取：{1}",
  "segment {0}: {1}": "分段 {0}：{1}",
  // nodes/api/live.py
  "no story runs in node {0} of prompt {1}: it may have ended.": "任务 {1} 的节点 {0} 中没有正在运行的故事：它可能已结束。",
  "the body is {0}, which asks for nothing: {1}": "请求为 {0}，没有要求任何事：{1}",
  "write {\"prompt\": text} or {\"action\": \"finish\"}, \"pause\" or \"resume\".":
    "请写 {\"prompt\": 文本} 或 {\"action\": \"finish\"}、\"pause\"、\"resume\"。",
  "the body has {0}, which means nothing here: {1}": "请求中的 {0} 在此没有意义：{1}",
  "action is {0}, but must be one of {1}.": "action 为 {0}，但必须是 {1} 之一。",
  "the prompt has {0} characters, but must have 1 to {1}.": "提示词有 {0} 个字符，但必须有 1 到 {1} 个。",
  "at is {0}, but a share of a story that may still change is no time: use seconds.":
    "at 为 {0}，但故事长度还可能改变，其比例不能作为时间：请用秒。",
  "at is {0}, but must be seconds, or a time such as '12s'.": "at 为 {0}，但必须是秒数，或类似 '12s' 的时间。",
  // nodes/api/takes.py
  "what is kept of this story is not known before it runs: its graph has a state, a schedule or a value that other nodes make, or nothing is kept (keep_moments_gb is 0).":
    "运行之前无法知道此故事保留了什么：它的工作流中有状态，或由其他节点给出的调度或数值；也可能什么都不保留（keep_moments_gb 为 0）。",
};
